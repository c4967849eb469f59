"""Fill every view from one decode. Each clip is given out once complete, so memory does not grow with the video."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from cvqa_models.types import DecoderName, Hdr, Untagged
from cvqa_models.video.changes import Changes
from cvqa_models.video.damage import plain_library_errors
from cvqa_models.video.decoders import DECODERS
from cvqa_models.video.info import FrameTimesChangedError, UnopenableError, UnprovenError, VideoInfo
from cvqa_models.video.plan import Clip, Picture, Plan, displayed
from cvqa_models.video.pyav_decoder import count_pyav, recount_pyav
from cvqa_models.video.scaling import Scaler
from cvqa_models.video.tone_mapping import table
from cvqa_models.video.view import View

CHAIN = ("pyav", "ffmpeg")
PACKAGES = {"auto": "av", "pyav": "av", "torchcodec": "torchcodec", "ffmpeg": "imageio-ffmpeg", "decord": "decord"}

FEWEST, MOST = 90, 4320  # allowed lines of a display

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """How files are decoded.

    Attributes:
        decoder: `auto` is PyAV, and for a file that it cannot open the ffmpeg program.
        untagged: Colour matrix of streams of 720 lines and more that name none. Such streams really mean `bt709`. But
            the published weights of most systems were tuned with `bt601`, the default of every decoder library.
        hdr: `refuse` refuses HDR videos (transfer function PQ or HLG), which most models here were not trained on;
            `tonemap` turns them into SDR by the curve of ITU-R BT.2390; `keep` takes their values as if they were
            SDR's, as the authors of CompressedVQA-HDR do.
        stream: Which video stream of files that hold several, from 0; None is the largest, as FFmpeg picks.
        display: Lines of the screen on which the video is watched. Pictures are first scaled to so many lines, as a
            player does (bicubic), so that the loss from encoding at fewer lines is seen. None keeps the video's own
            lines.

    Raises:
        ValueError: If the package of the decoder is not installed, the decoder cannot choose a stream, or `display` is
            below 90 or above 4320.
    """

    decoder: DecoderName = "auto"
    untagged: Untagged = "bt709"
    hdr: Hdr = "refuse"
    stream: int | None = None
    display: int | None = None

    def __post_init__(self) -> None:
        if self.display is not None and not FEWEST <= self.display <= MOST:
            raise ValueError(f"`display` is {self.display}; expected {FEWEST} to {MOST} lines, such as 1080.")
        try:
            version(PACKAGES[self.decoder])
        except PackageNotFoundError as error:
            raise ValueError(
                f"`decoder` is {self.decoder!r}, but the package {PACKAGES[self.decoder]} is not installed; install "
                "it, or leave `decoder: auto`."
            ) from error
        if self.stream is not None and self.decoder not in {"auto", "pyav"}:
            raise ValueError(f"`stream` is {self.stream}, but {self.decoder} cannot choose; leave `decoder: auto`.")

    @property
    def key(self) -> str:
        """Return a name for a feature store, with decoder and version: pixels differ between them."""
        rest = ("" if self.hdr == "refuse" else f"-{self.hdr}") + ("" if self.stream is None else f"-v{self.stream}")
        rest += "" if self.display is None else f"-on{self.display}"
        return f"{self.decoder}-{version(PACKAGES[self.decoder])}-{self.untagged}{rest}"


def probe(path: str | Path, options: ReadOptions | None = None) -> VideoInfo:
    """Return the size of a video, its true number of frames, and when each is shown.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, truncated or without a video stream, or no decoder gets a frame from it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no video '{path}'; check the path or the manifest that names it.")
    if path.stat().st_size == 0:
        raise ValueError(f"'{path}' is empty (0 bytes); copy or encode it again.")
    options = options or ReadOptions()
    reasons = []
    chain = CHAIN if options.stream is None else ("pyav",)
    for name in chain if options.decoder == "auto" else (options.decoder,):
        try:
            with plain_library_errors(path):
                info = DECODERS[name].probe(str(path), options.stream)
        except UnopenableError as error:
            reasons.append(f"{name}: {error}")
            if error.another_may:
                continue
            break
        if reasons:
            logger.warning("'%s' is read with %s (%s)", path, name, "; ".join(reasons))
        if info.hdr and options.hdr == "tonemap":
            return replace(info, notes=(*info.notes, f"tone-mapped from {info.hdr}"))
        if info.hdr and options.hdr == "keep":
            return replace(info, notes=(*info.notes, f"{info.hdr} values taken as SDR's"))
        return info
    if _is_segment(path):
        raise ValueError(
            f"'{path}' is one segment of a stream without the header that names its codec; put the initialisation "
            "segment in front of it (`cat init.mp4 SEGMENT > whole.mp4`)."
        )
    raise ValueError(f"'{path}' yields no frames ({'; '.join(reasons)}); copy or encode it again.")


def read_views(
    path: str | Path,
    views: Sequence[View],
    options: ReadOptions | None = None,
    rng: np.random.Generator | None = None,
    reference: str | Path | None = None,
) -> dict[str, Tensor]:
    """Return every view, view key -> uint8 (N, C, T, H, W). Arguments and errors are those of `iter_clips`."""
    return stacked(views, iter_clips(path, views, options, rng, reference))


def stacked(views: Sequence[View], clips: Iterable[Clip]) -> dict[str, Tensor]:
    """Return view key -> uint8 (N, C, T, H, W) from clips; of two with the same key and index, the later counts."""
    found: dict[str, dict[int, Tensor]] = {view.key: {} for view in views}
    for key, index, clip in clips:
        found[key][index] = clip
    return {key: torch.stack([own[index] for index in sorted(own)]) for key, own in found.items()}


def iter_clips(
    path: str | Path,
    views: Sequence[View],
    options: ReadOptions | None = None,
    rng: np.random.Generator | None = None,
    reference: str | Path | None = None,
    changes: Changes | None = None,
) -> Iterator[Clip]:
    """Yield (view key, clip index, uint8 clip (C, T, H, W)) as clips complete, from one decode of the file.

    Only groups of pictures with wanted frames are decoded, if the bits of the file prove that this gives the same
    pictures. Damage in the other groups is not seen here; `check_video` finds it.

    If the decoded frames are not those that the container lists (as in some interlaced streams), or are in doubt, all
    clips are yielded again; of two clips with the same key and index, the later counts.

    Args:
        path: Video file.
        views: Views of different keys.
        options: How files are decoded.
        rng: Generator for random views; None, as in evaluation, gives the same clips every time.
        reference: Source video, for views `with_reference`; same size and number of frames as the video.
        changes: Receives every frame, to find cuts and repeats; all frames are then decoded.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is empty, truncated, damaged or without frames, or if the source does not fit.
    """
    options = options or ReadOptions()
    info = probe(path, options)
    source = _probe_source(info, views, options, reference)
    with plain_library_errors(path):
        yield from _checked_clips(info, source, views, options, rng, changes)


def _checked_clips(
    info: VideoInfo,
    source: VideoInfo | None,
    views: Sequence[View],
    options: ReadOptions,
    rng: np.random.Generator | None,
    changes: Changes | None,
) -> Iterator[Clip]:
    for video in (info, source):
        _check_hdr(video, options)
    for video in (info, source):
        _check_other(video)
    _say(info)
    try:
        try:
            yield from _one_pass(info, source, views, options, rng, changes)
        except UnprovenError:
            info, source = replace(info, groups=None), source and replace(source, groups=None)
            yield from _one_pass(info, source, views, options, rng, changes)
    except FrameTimesChangedError:
        info = recount_pyav(info.path, info.stream)
        if source is not None and source.decoder == "pyav":
            source = recount_pyav(source.path, source.stream)
        count = info.frame_times.num_frames
        logger.warning("'%s': %d frames decode, which is not what the container lists", info.path, count)
        _check_source(info, source, options)
        _say(info)
        try:
            yield from _one_pass(info, source, views, options, rng, changes)
        except FrameTimesChangedError as error:
            raise ValueError(f"'{info.path}' decodes to other frames each time; copy or encode it again.") from error


def check_video(path: str | Path, options: ReadOptions | None = None) -> int:
    """Return the number of frames of a video after decoding every one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, truncated, damaged or without frames.
    """
    info = probe(path, options)
    with plain_library_errors(path):
        if info.decoder == "pyav":
            return count_pyav(info.path, info.stream)
        _check_other(info)
        return sum(1 for _ in DECODERS[info.decoder].frames(info, range(info.frame_times.num_frames)))


def _check_other(info: VideoInfo | None) -> None:
    """Refuse a file that another decoder reads but PyAV finds damaged: some decoders hide damage.

    Raises:
        ValueError: If it is damaged.
    """
    if info is not None and info.decoder != "pyav":
        with suppress(UnopenableError):
            count_pyav(info.path)  # it checks the stream that every decoder takes by default


def _check_hdr(info: VideoInfo | None, options: ReadOptions) -> None:
    if info is None or not info.hdr or options.hdr == "keep":
        return
    if options.hdr == "refuse":
        raise ValueError(
            f"'{info.path}' is HDR (transfer function {info.hdr}), but models here know SDR; have it tone-mapped with "
            "`hdr: tonemap` (`--hdr tonemap`), or taken as it is with `hdr: keep` for CompressedVQA-HDR."
        )
    if info.decoder != "pyav":
        raise ValueError(f"'{info.path}' is HDR and {info.decoder} gives 8 bits of it; tone-map with `decoder: pyav`.")


def _is_segment(path: Path) -> bool:
    """Return whether a file begins like a piece of a fragmented MP4, not like a whole one."""
    with path.open("rb") as file:
        return file.read(8)[4:] in {b"styp", b"moof", b"sidx", b"msdh"}


def _say(info: VideoInfo) -> None:
    if info.notes:
        logger.warning("'%s': %s", info.path, "; ".join(info.notes))


def _probe_source(
    info: VideoInfo, views: Sequence[View], options: ReadOptions, reference: str | Path | None
) -> VideoInfo | None:
    asking = next((view for view in views if view.with_reference), None)
    if asking is None:
        return None
    if reference is None:
        raise ValueError(
            f"View `{asking.key}` of '{info.path}' needs the source video; give its `reference_path` in "
            "the manifest, or the folder `references` of the data set."
        )
    source = probe(reference, options)
    _check_source(info, source, options)
    return source


def _check_source(info: VideoInfo, source: VideoInfo | None, options: ReadOptions) -> None:
    if source is None:
        return
    shown = [(v.frame_times.num_frames, *displayed(v.height, v.width, options.display)) for v in (info, source)]
    ours, theirs = (f"{frames} frames of {width}x{height}" for frames, height, width in shown)
    if ours != theirs:
        raise ValueError(
            f"'{info.path}' has {ours} but its source '{source.path}' has {theirs}; frames are paired by index, so "
            "both must be equal."
        )


def _one_pass(
    info: VideoInfo,
    source: VideoInfo | None,
    views: Sequence[View],
    options: ReadOptions,
    rng: np.random.Generator | None,
    changes: Changes | None,
) -> Iterator[Clip]:
    plans = [Plan(view, info, rng, options.display) for view in views]
    wanted = sorted({index for plan in plans for index in plan.uses})
    if changes is not None:
        changes.restart(info.frame_times)
        wanted = list(range(info.frame_times.num_frames))
    paired = {index for plan in plans if plan.view.with_reference for index in plan.uses}
    scaler, source_scaler = _scaler(info, options), _scaler(source or info, options)
    with closing(_frames(info, wanted)) as frames, closing(_frames(source, sorted(paired))) as source_frames:
        for index, frame in frames:
            pictures = [Picture(frame, scaler)]
            if changes is not None:
                changes.see(index, frame)
            if index in paired:
                pictures.append(Picture(next(source_frames)[1], source_scaler))
            for plan in plans:
                if index in plan.uses:
                    yield from plan.fill(index, pictures)
        for _ in source_frames:  # the source is read to its end too, to find damage there
            pass


def _scaler(info: VideoInfo, options: ReadOptions) -> Scaler:
    toned = info.hdr and options.hdr == "tonemap"
    return Scaler(options.untagged, info.filters, table(info.hdr, info.peak) if toned else None)


def _frames(info: VideoInfo | None, wanted: Sequence[int]) -> Generator[tuple[int, VideoFrame], None, None]:
    if info is not None and wanted:
        yield from DECODERS[info.decoder].frames(info, wanted)
