"""Encode the rungs of a ladder: to a rate by turning one knob, or at fixed quality; every finished file stays."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cvqa_models.build import ffmpeg
from cvqa_models.build.encoders import Knob
from cvqa_models.build.files import scratch, write_json
from cvqa_models.build.ladder import LadderJob

FILE_NAME = "enc_res_{video_id}.mp4"  # the organisers' own pattern of names
_MOST_TRIES = 8


@dataclass(frozen=True)
class Encode:
    """One finished video.

    Attributes:
        video_id: `{codec}_{preset}_{sequence}_{rung}`.
        path: The file.
        codec: Encoder's name.
        standard: Coding standard.
        preset: Speed class.
        speed: The encoder's own name of it.
        sequence: Reference.
        rung: Target rate in kb/s, or fixed CRF.
        kbps: Measured rate, from the bytes of the packets.
        value: Setting of the encoder's knob that gave it.
        tries: Every setting tried for this ladder so far and its rate, as (value, kb/s).
        seconds: Wall time spent on this rung.
    """

    video_id: str
    path: Path
    codec: str
    standard: str
    preset: str
    speed: str
    sequence: str
    rung: float
    kbps: float
    value: float
    tries: tuple[tuple[float, float], ...]
    seconds: float


@dataclass
class LadderResult:
    """Encodes of one ladder by video_id, and the message of each rung that failed."""

    encodes: list[Encode] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def encode_ladder(job: LadderJob, root: Path) -> LadderResult:
    """Encode the rungs of a job that `root` does not hold yet.

    A video lies in `videos/`, its card in `encodes/`. The card carries the tries of the search, so that a run that
    was killed continues the search where it stood and ends with the same files.
    """
    result = LadderResult()
    tries: dict[float, float] = {}
    for rung in job.rungs:
        video_id = job.video_id(rung)
        try:
            encode = load(root, video_id) or _encode_rung(job, rung, root, tries)
        except ValueError as error:
            result.failures[video_id] = str(error)
            continue
        tries.update(encode.tries)
        result.encodes.append(encode)
    return result


def load(root: Path, video_id: str) -> Encode | None:
    """Return the finished encode of that name under `root`, or None."""
    path, card = root / "videos" / FILE_NAME.format(video_id=video_id), root / "encodes" / f"{video_id}.json"
    if not (path.is_file() and card.is_file()):
        return None
    content = json.loads(card.read_text())
    tries = tuple((value, kbps) for value, kbps in content.pop("tries"))
    names = {one.name for one in dataclasses.fields(Encode)}
    return Encode(path=path, tries=tries, **{key: value for key, value in content.items() if key in names})


def search(
    measure: Callable[[float], float], knob: Knob, target: float, tolerance: float, tries: Mapping[float, float]
) -> dict[float, float]:
    """Return all tries (setting -> kb/s) after turning a knob until a rate lies within `tolerance` of `target`.

    log(rate) is taken as a line in the knob's position: through the nearest tries on both sides of the target, else
    through the two nearest, else through one with the knob's own slope. The search stops early where the knob's
    steps are too coarse or its end is reached.

    Args:
        measure: Encodes at a setting and returns its rate in kb/s.
        knob: The encoder's knob.
        target: Rate in kb/s.
        tolerance: Relative distance that is near enough.
        tries: Settings whose rates are known already.
    """
    known = dict(tries)
    for _ in range(_MOST_TRIES):
        if known and abs(known[nearest(known, target)] / target - 1) <= tolerance:
            break
        value = _next_setting(knob, target, known)
        if value in known:
            break
        known[value] = measure(value)
    return known


def nearest(tries: Mapping[float, float], target: float) -> float:
    """Return the setting whose rate is nearest to `target` in proportion."""
    return min(tries, key=lambda value: abs(math.log(tries[value] / target)))


def _next_setting(knob: Knob, target: float, known: Mapping[float, float]) -> float:
    if not known:
        return knob.nearest(knob.position(target if knob.start is None else knob.start))
    points = sorted((math.log(kbps / target), knob.position(value)) for value, kbps in known.items())
    below, above = [p for p in points if p[0] < 0], [p for p in points if p[0] >= 0]
    if below and above:
        return knob.nearest(_crossing(below[-1], above[0]))
    near, *rest = below[::-1] or above
    if rest and (near[0] - rest[0][0]) * (near[1] - rest[0][1]) * knob.slope > 0:
        return knob.nearest(_crossing(near, rest[0]))
    return knob.nearest(near[1] - near[0] / knob.slope)


def _crossing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the position at which the line through two points (distance, position) has no distance."""
    return a[1] - a[0] * (b[1] - a[1]) / (b[0] - a[0])


def _encode_rung(job: LadderJob, rung: float, root: Path, tries: Mapping[float, float]) -> Encode:
    start = time.perf_counter()
    with scratch(root / "videos") as partial:

        def measure(value: float) -> float:
            return _encode(job, knob, value, partial / f"{value:g}.mp4")

        if job.quantity == "crf":
            assert job.encoder.crf  # the ladder refuses encoders without one
            knob, value = job.encoder.crf, rung
            known = {rung: measure(rung)}
        else:
            knob = job.encoder.search
            known = search(measure, knob, rung, job.tolerance, tries)
            value = nearest(known, rung)
            if abs(known[value] / rung - 1) > job.tolerance:
                raise ValueError(
                    f"{rung:g} kb/s cannot be reached within {job.tolerance:.0%}: "
                    f"the nearest of {len(known)} tries gave {known[value]:.0f} kb/s; move this rung."
                )
        best = partial / f"{value:g}.mp4"
        if not best.exists():  # a try of an earlier rung, whose file is gone
            measure(value)
        encode = _card(job, rung, root, known, value, time.perf_counter() - start)
        best.rename(encode.path)
    content = {key: entry for key, entry in dataclasses.asdict(encode).items() if key != "path"}
    options = job.encoder.arguments(job.speed, knob, value)
    write_json(
        root / "encodes" / f"{encode.video_id}.json", {**content, "options": options, "ffmpeg": ffmpeg.version()}
    )
    return encode


def _card(
    job: LadderJob, rung: float, root: Path, tries: Mapping[float, float], value: float, seconds: float
) -> Encode:
    video_id = job.video_id(rung)
    return Encode(
        video_id=video_id,
        path=root / "videos" / FILE_NAME.format(video_id=video_id),
        codec=job.encoder.name,
        standard=job.encoder.standard,
        preset=job.preset,
        speed=job.speed,
        sequence=job.reference.name,
        rung=rung,
        kbps=tries[value],
        value=value,
        tries=tuple(tries.items()),
        seconds=round(seconds, 3),
    )


def _encode(job: LadderJob, knob: Knob, value: float, target: Path) -> float:
    """Encode once and return the rate in kb/s."""
    reference = job.reference
    packets = ffmpeg.write([*reference.inputs, *job.encoder.arguments(job.speed, knob, value)], target)
    if len(packets) != reference.frames:
        raise ValueError(f"The encoder wrote {len(packets)} of {reference.frames} frames; leave it out of this ladder.")
    return 8 * sum(packets) / reference.seconds / 1000


def lossless_copy(encode: Encode, root: Path) -> Path:
    """Return a lossless x265 copy of an encode in `lossless/`, whose every decoded frame equals the original's.

    Raises:
        ValueError: If a frame differs.
    """
    target = root / "lossless" / encode.path.with_suffix(".mkv").name
    if target.is_file():
        return target
    options = [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "lossless=1:pools=none:frame-threads=1:log-level=error",
    ]
    with scratch(target.parent) as partial:
        copy = partial / target.name
        ffmpeg.write(["-i", encode.path, "-map", "0:v:0", *options], copy)
        if ffmpeg.frame_hash(copy) != ffmpeg.frame_hash(encode.path):
            raise ValueError(f"The lossless copy of '{encode.path.name}' differs from it; report the FFmpeg version.")
        copy.rename(target)
    return target
