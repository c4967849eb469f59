"""References: the sources that encoders compress, stored as lossless files with a constant frame rate."""

from __future__ import annotations

import dataclasses
import logging
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.folder import keep, read_card, scratch
from cvqa_models.corpus.synthetic.scenes import Scene, render
from cvqa_models.files import write_json
from cvqa_models.video.facts import read_facts
from cvqa_models.video.h273 import HDR_NAMES
from cvqa_models.video.pyav_decoder import LIMITED_UNLESS_SAID
from cvqa_models.video.reader import check_video, probe

# 8-bit 4:2:0 is the format that every encoder here takes, or gets after conversion. UT Video stores it exactly, and
# decodes five times as fast as FFV1, with which decoding took half the time of a fast encode (files: 13 % larger on one
# clip).
LOSSLESS = ["-c:v", "utvideo", "-pred", "median", "-pix_fmt", "yuv420p", "-an"]
_TO_BT709 = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bicubic,format=yuv420p"
# FFmpeg takes the tags of a stream from its frames, and ignores the output options of the same names.
_TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
BT709 = f"{_TO_BT709},{_TAGS}"  # filters that turn RGB into limited-range BT.709, and tag it so

_USUAL_RATES = [Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")]
_UNKNOWN_RATE = Fraction(25)
_DROPPED_SHARE = 0.02  # share of gaps between frames; a few lost frames do not make a frame rate variable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """A prepared source.

    Attributes:
        name: Name in tables.
        path: Lossless file.
        width: Columns, even.
        height: Rows, even.
        fps: Constant frames per second.
        frames: Number of frames.
    """

    name: str
    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)

    @property
    def inputs(self) -> list[str | Path]:
        """Return the FFmpeg options that open the reference with exact times: frame k at k / fps."""
        return ["-r", str(self.fps), "-i", self.path]


def load(folder: Path, name: str) -> Reference | None:
    """Return the prepared reference of that name, or None if it has not been prepared."""
    path, facts = folder / f"{name}.mkv", read_card(folder / f"{name}.json")
    if facts is None or not path.is_file():
        return None
    return Reference(name, path, facts["width"], facts["height"], Fraction(facts["fps"]), facts["frames"])


def expect_clip(source: Path, folder: Path, *, seconds: float | None = None) -> Reference:
    """Return the size and length of the reference that `prepare_clip` will make of a clip, without making it.

    Raises:
        FileNotFoundError: If the clip does not exist.
        ValueError: If it has no frames.
    """
    if prepared := load(folder, source.stem):
        return prepared
    facts = ffmpeg.inspect(source)
    fps = facts.rate or _UNKNOWN_RATE
    frames = len(facts.times) if seconds is None else min(len(facts.times), round(seconds * fps))
    return Reference(source.stem, source, facts.width, facts.height, fps, frames)


def prepare_clip(source: Path, folder: Path, *, width: int | None = None, seconds: float | None = None) -> Reference:
    """Return a clip as a reference, prepared in `folder` unless it is already there.

    A picture of odd size loses its last row or column, 10 bits become 8, and a variable frame rate becomes constant;
    each of these is logged.

    Args:
        source: Clip of the user.
        folder: Folder of prepared references.
        width: Columns to scale to, with the same aspect ratio; None keeps the size.
        seconds: Length to cut to; None keeps the length.

    Raises:
        FileNotFoundError: If the clip does not exist.
        ValueError: If it has no frames, is HDR, is damaged, or must be shown at an angle that is not a multiple of 90.
    """
    if prepared := load(folder, source.stem):
        return prepared
    facts = ffmpeg.inspect(source)
    if facts.transfer in HDR_NAMES:
        raise ValueError(f"'{source}' is HDR ({facts.transfer}); convert it to SDR first.")
    check_video(source)
    limited = facts.pixel_format.startswith("gray") and _is_limited(source)
    fps, filters = _constant_rate(source, facts)
    if limited:
        # swscale always takes gray as full range. So the range is not converted here; the result is only tagged.
        layout = facts.pixel_format.replace("gray", "yuv420p")
        filters.insert(0, f"scale=in_range=full:out_range=full,format={layout},setparams=range=limited")
    if facts.width % 2 or facts.height % 2:
        log.warning("'%s' is %dx%d; its odd edge is cut off.", source.name, facts.width, facts.height)
    filters.append("crop=trunc(iw/2)*2:trunc(ih/2)*2")
    if "10" in facts.pixel_format or "12" in facts.pixel_format:
        log.warning("'%s' is %s; it is reduced to 8 bit.", source.name, facts.pixel_format)
    if width:
        filters.append(f"scale={width}:-2:flags=bicubic+accurate_rnd+full_chroma_int")
    length = ["-t", str(seconds)] if seconds else []
    arguments: list[str | Path] = ["-i", source, *ffmpeg.LARGEST_VIDEO, "-vf", ",".join(filters), *length]
    return write_reference(source.stem, folder, fps, arguments)


def _is_limited(source: Path) -> bool:
    """Return whether a gray clip has limited range; FFmpeg takes it as full range even if the clip says limited."""
    facts = read_facts(probe(source))
    if facts is None:
        return False
    return facts.range == "limited" or (not facts.range and facts.codec in LIMITED_UNLESS_SAID)


def shoot_scene(
    scene: Scene, folder: Path, *, width: int, height: int, fps: int, seconds: float, seed: int = 0
) -> Reference:
    """Return a scene as a reference, rendered in `folder` unless it is already there."""
    if prepared := load(folder, scene.name):
        return prepared
    frames = render(scene, height, width, round(seconds * fps), seed)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    arguments = [*raw, "-vf", f"{BT709}"]
    return write_reference(scene.name, folder, Fraction(fps), arguments, (one.tobytes() for one in frames))


def _constant_rate(source: Path, facts: ffmpeg.VideoFacts) -> tuple[Fraction, list[str]]:
    """Return the frame rate of a clip, and the filter that makes it constant if that is needed."""
    gaps = [b - a for a, b in zip(facts.times, facts.times[1:], strict=False)]
    usual = statistics.median(gaps) if gaps else 0.0
    odd = sum(abs(gap - usual) > 0.5 * usual for gap in gaps)
    if odd <= _DROPPED_SHARE * len(gaps) and facts.rate:
        return facts.rate, []
    measured = 1 / usual if usual else float(_UNKNOWN_RATE)
    near = min(_USUAL_RATES, key=lambda rate: abs(float(rate) / measured - 1))
    fps = near if abs(float(near) / measured - 1) < 0.02 else Fraction(measured).limit_denominator(1001)
    log.warning("'%s' has a variable frame rate; it is taken at constant %.3f frames a second.", source.name, fps)
    return fps, [f"fps={fps}"]


def write_reference(
    name: str, folder: Path, fps: Fraction, arguments: Sequence[str | Path], frames: Iterable[bytes] = ()
) -> Reference:
    """Return the reference that FFmpeg makes of `arguments`, written losslessly to `folder`."""
    with scratch(folder) as partial:
        target = partial / f"{name}.mkv"
        packets = ffmpeg.write([*arguments, "-r", str(fps), *LOSSLESS], target, frames)
        facts = ffmpeg.inspect(target)
        reference = Reference(name, folder / target.name, facts.width, facts.height, fps, len(packets))
        keep(target, reference.path)
    card = {key: str(value) if key == "fps" else value for key, value in dataclasses.asdict(reference).items()}
    write_json(folder / f"{name}.json", {key: value for key, value in card.items() if key != "path"})
    return reference
