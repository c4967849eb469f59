"""References: the sources that encoders compress, kept as lossless files of a constant frame rate."""

from __future__ import annotations

import dataclasses
import logging
import statistics
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cvqa_models.build import ffmpeg
from cvqa_models.build.files import keep, read_card, scratch, write_json
from cvqa_models.build.scenes import Scene, render
from cvqa_models.video.facts import describe
from cvqa_models.video.pyav_decoder import LIMITED_UNLESS_SAID
from cvqa_models.video.reader import check_video, probe

_HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
# 8-bit 4:2:0 is the one format that every encoder here takes or is given. UT Video keeps it exactly and decodes five
# times as fast as FFV1, which would else be half the cost of a fast encode (13 % larger on one clip).
LOSSLESS = ["-c:v", "utvideo", "-pred", "median", "-pix_fmt", "yuv420p", "-an"]
_TO_BT709 = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+bicubic,format=yuv420p"
# FFmpeg takes the tags of a stream from its frames, and passes over the output options of the same names.
_TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
BT709 = f"{_TO_BT709},{_TAGS}"  # filters that turn RGB into limited-range BT.709, and say so

_USUAL_RATES = [Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")]
_UNKNOWN_RATE = Fraction(25)
_DROPPED_SHARE = 0.02  # of gaps between frames; a few lost frames do not make a clip variable

_one_verdict = (
    threading.Lock()
)  # clips are prepared in threads, and FFmpeg's log, which the verdict reads, has one level

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
        """FFmpeg options that open the reference with exact times: frame k at k / fps."""
        return ["-r", str(self.fps), "-i", self.path]


def load(folder: Path, name: str) -> Reference | None:
    """Return the prepared reference of that name, or None if it has not been prepared."""
    path, facts = folder / f"{name}.mkv", read_card(folder / f"{name}.json")
    if facts is None or not path.is_file():
        return None
    return Reference(name, path, facts["width"], facts["height"], Fraction(facts["fps"]), facts["frames"])


def expect_clip(source: Path, folder: Path, *, seconds: float | None = None) -> Reference:
    """Return what `prepare_clip` will make of a clip, in size and length, before it makes it.

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
    """Return a clip as a reference, prepared under `folder` unless it is there already.

    Odd sizes lose their last row or column, 10 bits become 8, a variable frame rate becomes constant; each is logged.

    Args:
        source: Clip of the user.
        folder: Where prepared references lie.
        width: Columns to scale to, keeping the shape; None keeps the size.
        seconds: Length to cut to; None keeps the length.

    Raises:
        FileNotFoundError: If the clip does not exist.
        ValueError: If it has no frames, is HDR, is damaged, or is to be shown at an odd angle.
    """
    if prepared := load(folder, source.stem):
        return prepared
    facts = ffmpeg.inspect(source)
    if facts.transfer in _HDR_TRANSFERS:
        raise ValueError(f"'{source}' is HDR ({facts.transfer}); convert it to SDR first.")
    with _one_verdict:
        check_video(source)
        limited = facts.pixel_format.startswith("gray") and _is_limited(source)
    fps, filters = _constant_rate(source, facts)
    if limited:
        # Gray is full range for swscale, whatever it is told: nothing is converted, and what comes out is named.
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
    """Return whether a gray clip has limited range, which FFmpeg takes for full range even where the clip says so."""
    facts = describe(probe(source))
    if facts is None:
        return False
    return facts.range == "limited" or (not facts.range and facts.codec in LIMITED_UNLESS_SAID)


def shoot_scene(
    scene: Scene, folder: Path, *, width: int, height: int, fps: int, seconds: float, seed: int = 0
) -> Reference:
    """Return a scene as a reference, rendered under `folder` unless it is there already."""
    if prepared := load(folder, scene.name):
        return prepared
    frames = render(scene, height, width, round(seconds * fps), seed)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    arguments = [*raw, "-vf", f"{BT709}"]
    return write_reference(scene.name, folder, Fraction(fps), arguments, (one.tobytes() for one in frames))


def _constant_rate(source: Path, facts: ffmpeg.VideoFacts) -> tuple[Fraction, list[str]]:
    """Return the frames per second of a clip and the filter that makes them constant, if it needs one."""
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
