"""One decode fills every view: clips come out as they complete, and memory does not grow with the video."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from cvqa_models.video.decoders import DECODERS
from cvqa_models.video.info import TimelineChangedError, UnopenableError, VideoInfo
from cvqa_models.video.pixels import Frame, Kernel
from cvqa_models.video.pyav_decoder import count_pyav, recount_pyav
from cvqa_models.video.scaling import Scaler
from cvqa_models.video.view import View

Decoder = Literal["auto", "pyav", "torchcodec", "ffmpeg", "decord"]
Untagged = Literal["bt709", "bt601"]
Hdr = Literal["refuse", "tonemap"]
Clip = tuple[str, int, Tensor]

CHAIN = ("pyav", "ffmpeg")
PACKAGES = {"auto": "av", "pyav": "av", "torchcodec": "torchcodec", "ffmpeg": "imageio-ffmpeg", "decord": "decord"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadOptions:
    """How files are decoded.

    Attributes:
        decoder: `auto` is PyAV, and for a file that it cannot open the ffmpeg program.
        untagged: Colour matrix of streams of 720 lines and more that name none. Published weights of most systems
            were tuned on `bt601`, the default of every decoder library; `bt709` is what such streams mean.

    Raises:
        ValueError: If the package of the decoder is not installed.
    """

    decoder: Decoder = "auto"
    untagged: Untagged = "bt709"

    def __post_init__(self) -> None:
        try:
            version(PACKAGES[self.decoder])
        except PackageNotFoundError as error:
            raise ValueError(
                f"`decoder` is {self.decoder!r}, but the package {PACKAGES[self.decoder]} is not installed; install "
                "it, or leave `decoder: auto`."
            ) from error

    @property
    def key(self) -> str:
        """Return the name that a feature store keeps: pixels differ between decoders and their versions."""
        return f"{self.decoder}-{version(PACKAGES[self.decoder])}-{self.untagged}"


def probe(path: str | Path, options: ReadOptions | None = None) -> VideoInfo:
    """Return size and timeline of a video: its true number of frames and the time of each.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, truncated, without a video stream, or if no decoder gets a frame from it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no video '{path}'; check the path or the manifest that names it.")
    if path.stat().st_size == 0:
        raise ValueError(f"'{path}' is empty (0 bytes); copy or encode it again.")
    chosen = (options or ReadOptions()).decoder
    reasons = []
    for name in CHAIN if chosen == "auto" else (chosen,):
        try:
            info = DECODERS[name].probe(str(path), None)
        except UnopenableError as error:
            reasons.append(f"{name}: {error}")
            continue
        if reasons:
            logger.warning("'%s' is read with %s (%s)", path, name, "; ".join(reasons))
        return info
    raise ValueError(f"'{path}' yields no frames ({'; '.join(reasons)}); copy or encode it again.")


def read_views(
    path: str | Path,
    views: Sequence[View],
    options: ReadOptions | None = None,
    rng: np.random.Generator | None = None,
    reference: str | Path | None = None,
) -> dict[str, Tensor]:
    """Return every view, view key -> uint8 (N, C, T, H, W). Arguments and errors are those of `iter_clips`."""
    clips: dict[str, dict[int, Tensor]] = {view.key: {} for view in views}
    for key, index, clip in iter_clips(path, views, options, rng, reference):
        clips[key][index] = clip
    return {key: torch.stack([found[index] for index in sorted(found)]) for key, found in clips.items()}


def iter_clips(
    path: str | Path,
    views: Sequence[View],
    options: ReadOptions | None = None,
    rng: np.random.Generator | None = None,
    reference: str | Path | None = None,
) -> Iterator[Clip]:
    """Yield (view key, clip index, uint8 clip (C, T, H, W)) as clips complete, from one decode of the file.

    Where the frames that decode turn out not to be those that the container lists, as in some interlaced streams, all
    clips are yielded again; the later one of a key and index counts.

    Args:
        path: Video file.
        views: Views of different keys.
        options: How files are decoded.
        rng: Source of random views; None, as in evaluation, for the same clips every time.
        reference: Source video, for views `with_reference`; same size and number of frames as the video.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is empty, truncated, damaged or without frames, or if the source does not fit.
    """
    options = options or ReadOptions()
    info = probe(path, options)
    source = _probe_source(info, views, options, reference)
    _say(info)
    try:
        yield from _one_pass(info, source, views, options, rng)
    except TimelineChangedError:
        info = recount_pyav(info.path, info.stream)
        source = source and recount_pyav(source.path, source.stream)
        logger.warning("'%s': %d frames decode, which is not what the container lists", path, info.timeline.num_frames)
        _check_source(info, source)
        _say(info)
        try:
            yield from _one_pass(info, source, views, options, rng)
        except TimelineChangedError as error:
            raise ValueError(f"'{path}' decodes to other frames each time; copy or encode it again.") from error


def check_video(path: str | Path, options: ReadOptions | None = None) -> int:
    """Return the number of frames of a video after decoding every one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, truncated, damaged or without frames.
    """
    info = probe(path, options)
    if info.decoder == "pyav":
        return count_pyav(info.path, info.stream)
    return sum(1 for _ in DECODERS[info.decoder].frames(info, range(info.timeline.num_frames)))


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
    _check_source(info, source)
    return source


def _check_source(info: VideoInfo, source: VideoInfo | None) -> None:
    if source is None:
        return
    ours, theirs = (f"{v.timeline.num_frames} frames of {v.width}x{v.height}" for v in (info, source))
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
) -> Iterator[Clip]:
    plans = [_Plan(view, info, rng) for view in views]
    wanted = sorted({index for plan in plans for index in plan.uses})
    paired = {index for plan in plans if plan.view.with_reference for index in plan.uses}
    scaler, source_scaler = (Scaler(options.untagged, v.filters if v else ()) for v in (info, source))
    with closing(_frames(info, wanted)) as frames, closing(_frames(source, sorted(paired))) as source_frames:
        for index, frame in frames:
            pictures = [_Picture(frame, scaler)]
            if index in paired:
                pictures.append(_Picture(next(source_frames)[1], source_scaler))
            for plan in plans:
                if index in plan.uses:
                    yield from plan.fill(index, pictures)


def _frames(info: VideoInfo | None, wanted: Sequence[int]) -> Generator[tuple[int, VideoFrame], None, None]:
    if info is not None and wanted:
        yield from DECODERS[info.decoder].frames(info, wanted)


class _Picture:
    """A frame as RGB, converted once per size and kernel however many clips and views use it."""

    def __init__(self, frame: VideoFrame, scaler: Scaler) -> None:
        self._frame = frame
        self._scaler = scaler
        self._done: dict[tuple[int, int, Kernel], Frame] = {}

    def at(self, height: int, width: int, kernel: Kernel) -> Frame:
        key = (height, width, kernel)
        if key not in self._done:
            self._done[key] = self._scaler.scale(self._frame, height, width, kernel)
        return self._done[key]


class _Plan:
    """One view of one video: which clips need which frame, and the clips begun but not complete."""

    def __init__(self, view: View, info: VideoInfo, rng: np.random.Generator | None) -> None:
        indices = view.frames.indices(info.timeline, rng)
        size = (info.height, info.width)
        self.view = view
        self.scaled_size = view.pixels.scaled_size(*size)
        self.shape = (6 if view.with_reference else 3, indices.shape[1], *view.pixels.output_size(*size))
        self.offsets = view.pixels.draw(*size, len(indices), rng)
        self.uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for (clip, position), index in np.ndenumerate(indices):
            self.uses[int(index)].append((clip, position))
        self._missing = Counter(dict.fromkeys(range(len(indices)), indices.shape[1]))
        self._open: dict[int, Frame] = {}

    def fill(self, index: int, pictures: Sequence[_Picture]) -> Iterator[Clip]:
        """Put frame `index`, from the video and perhaps its source, where it belongs; yield the clips it completes."""
        pixels = self.view.pixels
        scaled = [picture.at(*self.scaled_size, pixels.kernel) for picture in pictures[: self.shape[0] // 3]]
        for clip, position in self.uses[index]:
            if clip not in self._open:
                self._open[clip] = np.empty(self.shape, np.uint8)
            for first, picture in zip((0, 3), scaled, strict=False):
                cut = pixels.cut(picture, self.offsets[clip])
                self._open[clip][first : first + 3, position] = cut.transpose(2, 0, 1)
            self._missing[clip] -= 1
            if self._missing[clip] == 0:
                yield self.view.key, clip, torch.from_numpy(self._open.pop(clip))
