"""Encode the rungs of a ladder: to a rate, by changing one setting, or at fixed quality; finished files are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.encoding.encoders import BITRATE, Knob, check_present
from cvqa_models.corpus.encoding.ladder import LadderJob
from cvqa_models.corpus.encoding.search import nearest, search
from cvqa_models.corpus.folder import keep, read_card, scratch
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.files import write_json

FILE_NAME = "enc_res_{video_id}.mp4"  # how the organisers name files


@dataclass(frozen=True)
class Encode:
    """One finished video.

    Attributes:
        video_id: `{codec}_{preset}_{sequence}_{rung}`.
        path: The file.
        codec: Encoder's name.
        standard: Coding standard.
        preset: Speed class.
        speed: The encoder's own name of the speed.
        sequence: Reference.
        rung: Target rate in kb/s, or fixed CRF.
        kbps: Measured rate, from the bytes of the packets.
        value: Setting of the knob that gave this rate; `options` of the card name the knob.
        tries: Every setting of the search knob tried for this ladder so far, with its rate, as (value, kb/s).
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

    A video lies in `videos/`, its card in `encodes/`. The card stores the tries of the search, so a run that was killed
    continues the search at the same point and ends with the same files.

    Raises:
        ValueError: If FFmpeg lacks the encoder.
    """
    check_present(job.encoder)
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
    content = read_card(card)
    if content is None or not path.is_file():
        return None
    tries = tuple((value, kbps) for value, kbps in content.pop("tries"))
    names = {one.name for one in dataclasses.fields(Encode)}
    return Encode(path=path, tries=tries, **{key: value for key, value in content.items() if key in names})


def encode_all(
    jobs: Sequence[LadderJob], root: Path, workers: int | None = None
) -> tuple[list[Encode], dict[str, str]]:
    """Return the encodes of all jobs in their order, and each failure's message by video_id."""
    ladders, failures = run_jobs({job.name: partial(encode_ladder, job, root) for job in jobs}, "Encoding", workers)
    for ladder in ladders.values():
        failures |= ladder.failures
    return [encode for ladder in ladders.values() for encode in ladder.encodes], failures


@dataclass(frozen=True)
class _Take:
    """The encode chosen for a rung: its file, rate and setting, and the tries to give to the next rung."""

    path: Path
    kbps: float
    knob: Knob
    value: float
    tries: Mapping[float, float]


def _encode_rung(job: LadderJob, rung: float, root: Path, tries: Mapping[float, float]) -> Encode:
    start = time.perf_counter()
    with scratch(root / "videos") as folder:
        take = _at_crf(job, rung, folder) if job.quantity == "crf" else _at_rate(job, rung, folder, tries)
        encode = _card(job, rung, root, take, time.perf_counter() - start)
        keep(take.path, encode.path)
    content = {key: entry for key, entry in dataclasses.asdict(encode).items() if key != "path"}
    content |= {"options": job.encoder.arguments(job.speed, take.knob, take.value), "ffmpeg": ffmpeg.version()}
    write_json(root / "encodes" / f"{encode.video_id}.json", content)
    return encode


def _at_crf(job: LadderJob, crf: float, folder: Path) -> _Take:
    knob = job.encoder.crf
    assert knob  # the ladder refuses encoders without a knob
    path = folder / "crf.mp4"
    kbps = _encode(job, knob, crf, path)
    return _Take(path, kbps, knob, crf, {crf: kbps})


def _at_rate(job: LadderJob, kbps: float, folder: Path, tries: Mapping[float, float]) -> _Take:
    """Return an encode within the tolerance of a rate: by the encoder's search knob, else by bitrates, else by CRF.

    If one of them fails, another may succeed: CRF has coarse steps, and the rate of libvpx can jump by 15 % from one
    bitrate to the next.

    Raises:
        ValueError: If no encode comes near enough.
    """
    handed_on, rates = dict(tries), [*tries.values()]
    for knob in dict.fromkeys((job.encoder.search, BITRATE, job.encoder.crf or BITRATE)):

        def measure(value: float, knob: Knob = knob) -> float:
            return _encode(job, knob, value, _try_path(folder, knob, value))

        is_first = knob == job.encoder.search
        try:
            found = search(measure, knob, kbps, job.tolerance, tries if is_first else {})
        except ValueError:
            if is_first:
                raise
            continue  # the encoder refuses such settings; the nearest of the other tries counts
        handed_on = found if is_first else handed_on
        value, rates = nearest(found, kbps), [*rates, *found.values()]
        if abs(found[value] / kbps - 1) <= job.tolerance:
            path = _try_path(folder, knob, value)
            if not path.exists():  # a try of an earlier rung; its file is removed by now
                measure(value)
            return _Take(path, found[value], knob, value, handed_on)
    closest = min(rates, key=lambda rate: abs(rate / kbps - 1))
    raise ValueError(
        f"{kbps:g} kb/s cannot be reached within {job.tolerance:.0%}: the nearest try gave {closest:.0f} kb/s; "
        "move this rung."
    )


def _try_path(folder: Path, knob: Knob, value: float) -> Path:
    return folder / f"{'rate' if knob == BITRATE else 'crf'}-{value:g}.mp4"


def _card(job: LadderJob, rung: float, root: Path, take: _Take, seconds: float) -> Encode:
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
        kbps=take.kbps,
        value=take.value,
        tries=tuple(take.tries.items()),
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
    with scratch(target.parent) as folder:
        copy = folder / target.name
        ffmpeg.write(["-i", encode.path, "-map", "0:v:0", *options], copy)
        if ffmpeg.frame_hash(copy) != ffmpeg.frame_hash(encode.path):
            raise ValueError(f"The lossless copy of '{encode.path.name}' differs from it; report the FFmpeg version.")
        keep(copy, target)
    return target
