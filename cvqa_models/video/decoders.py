"""The decoders: each finds a file's true timeline and gives the frames asked for, in order.

PyAV is the reference; the others serve files that it cannot open, or an explicit choice. A file is opened anew for
every call and decoded on one thread, because decoders that outlive a fork or share threads hang data loaders.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from cvqa_models.video.frames import Timeline
from cvqa_models.video.geometry import Filters
from cvqa_models.video.info import UnopenableError, VideoInfo
from cvqa_models.video.pyav_decoder import frames_pyav, probe_pyav

GROUP = 8  # frames that a batch decoder is asked for at a time: 50 MB of 1080p


# torchcodec -----------------------------------------------------------------------------------------------------------


def _torchcodec(path: str) -> Any:
    try:
        module = importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError) as error:  # a missing package, or one that finds no FFmpeg
        raise UnopenableError("it is not installed") from error
    try:
        return module.VideoDecoder(_whole_name(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    except (RuntimeError, ValueError) as error:
        raise UnopenableError(_line(error)) from error


def probe_torchcodec(path: str, stream: int | None = None) -> VideoInfo:
    """Return the timeline by torchcodec's scan; frames lie 1 / fps apart."""
    about = _torchcodec(path).metadata
    if not about.num_frames:
        raise UnopenableError("it yields no frames")
    timeline = _constant_rate(about.num_frames, about.average_fps)
    return _as_pyav_shows(VideoInfo(path, "torchcodec", timeline, about.height, about.width, about.codec or ""))


def frames_torchcodec(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) in small groups."""
    decoder = _torchcodec(info.path)
    for group in _groups(wanted):
        yield from _in_rgb(info.path, group, lambda indices: decoder.get_frames_at(indices).data.numpy())


# decord ---------------------------------------------------------------------------------------------------------------


def _decord(path: str) -> Any:
    decord = importlib.import_module("decord")
    try:
        return decord.VideoReader(_whole_name(path), ctx=decord.cpu(0), num_threads=1)
    except (RuntimeError, decord.DECORDError) as error:
        raise UnopenableError(_line(error)) from error


def probe_decord(path: str, stream: int | None = None) -> VideoInfo:
    """Return the timeline by decord's index."""
    reader = _decord(path)
    if not len(reader):
        raise UnopenableError("it yields no frames")
    starts = sorted(float(start) for start, _ in reader.get_frame_timestamp(range(len(reader))))
    height, width, _ = reader[0].shape
    times = tuple(start - starts[0] for start in starts)
    return _as_pyav_shows(VideoInfo(path, "decord", Timeline(len(times), reader.get_avg_fps(), times), height, width))


def frames_decord(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) in small groups; memory grows while the consumer is slow, as decord reads ahead."""
    reader = _decord(info.path)
    for group in _groups(wanted):
        yield from _in_rgb(info.path, group, lambda indices: reader.get_batch(indices).asnumpy())


# The ffmpeg program ---------------------------------------------------------------------------------------------------


def _pipe(path: str) -> Generator[Any, None, None]:
    """Yield ffmpeg's description of the file, then raw RGB frames."""
    imageio_ffmpeg = importlib.import_module("imageio_ffmpeg")
    flags = ["-sws_flags", "bilinear+accurate_rnd+full_chroma_int", "-fps_mode", "passthrough"]
    yield from imageio_ffmpeg.read_frames(f"file:{path}", input_params=["-threads", "1"], output_params=flags)


def probe_ffmpeg(path: str, stream: int | None = None) -> VideoInfo:
    """Return the timeline by counting what the ffmpeg program delivers; frames lie 1 / fps apart."""
    with closing(_pipe(path)) as pipe:
        try:
            about = next(pipe)
            count = sum(1 for _ in pipe)
        except (OSError, RuntimeError, StopIteration) as error:
            raise UnopenableError(_line(error)) from error
    if not count:
        raise UnopenableError("it yields no frames")
    width, height = about["size"]
    timeline = _constant_rate(count, about["fps"] or 25.0)
    info = VideoInfo(path, "ffmpeg", timeline, height, width, about["codec"], hdr=_hdr(path))
    return _as_pyav_shows(info)


def frames_ffmpeg(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) out of a pipe that is read up to the last one wanted."""
    asked = set(wanted)
    with closing(_pipe(info.path)) as pipe:
        next(pipe)
        for index, raw in zip(range(wanted[-1] + 1), pipe, strict=False):
            if index in asked:
                picture = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
                yield index, VideoFrame.from_ndarray(picture, format="rgb24")


def _hdr(path: str) -> str:
    """Return `PQ` or `HLG` if the ffmpeg program names one of them as transfer function, else nothing."""
    program = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    told = subprocess.run([program, "-hide_banner", "-i", f"file:{path}"], capture_output=True, check=False).stderr
    found = re.search(rb"smpte2084|arib-std-b67", told)
    return {b"smpte2084": "PQ", b"arib-std-b67": "HLG"}[found[0]] if found else ""


class Decoder(NamedTuple):
    """A way to read files: `probe` finds the timeline, `frames` gives the frames.

    `probe` takes the number of a video stream, which only PyAV can choose; the others take what they find.
    """

    probe: Callable[[str, int | None], VideoInfo]
    frames: Callable[[VideoInfo, Sequence[int]], Iterator[tuple[int, VideoFrame]]]


DECODERS = {
    "pyav": Decoder(probe_pyav, frames_pyav),
    "torchcodec": Decoder(probe_torchcodec, frames_torchcodec),
    "ffmpeg": Decoder(probe_ffmpeg, frames_ffmpeg),
    "decord": Decoder(probe_decord, frames_decord),
}


# What decord and torchcodec do by themselves: whole turns, but neither mirroring nor cropping.
_TURNS: tuple[Filters, ...] = (
    (),
    (("transpose", "clock"),),
    (("transpose", "cclock"),),
    (("hflip", ""), ("vflip", "")),
)


def _as_pyav_shows(info: VideoInfo) -> VideoInfo:
    """Return `info` with what PyAV knows of the file, if PyAV can open it.

    Raises:
        ValueError: If the decoder shows other pictures: another stream or number of frames, mirrored or not cropped.
    """
    try:
        truth = probe_pyav(info.path)
    except UnopenableError:
        return info
    ours, theirs = (f"{v.timeline.num_frames} frames of {v.width}x{v.height}" for v in (info, truth))
    same = ours == theirs and (info.decoder == "ffmpeg" or truth.filters in _TURNS)
    if not same:
        raise ValueError(
            f"'{info.path}' is not shown by {info.decoder} as it should be ({ours}; expected {theirs}, cropped and "
            "upright); leave `decoder: auto`."
        )
    return replace(info, hdr=truth.hdr, notes=truth.notes)


def _constant_rate(count: int, fps: float) -> Timeline:
    return Timeline(count, fps, tuple(i / fps for i in range(count)))


def _whole_name(path: str) -> str:
    """Return the absolute name of a file, of which no part before a colon is taken for a protocol."""
    return str(Path(path).absolute())


def _groups(wanted: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(wanted), GROUP):
        yield list(wanted[start : start + GROUP])


def _in_rgb(path: str, group: list[int], read: Callable[[list[int]], Any]) -> Iterator[tuple[int, VideoFrame]]:
    try:
        pictures = read(group)
    except Exception as error:  # decord's and torchcodec's own error types share no base
        raise ValueError(
            f"'{path}' is truncated or damaged between frames {group[0]} and {group[-1]} ({_line(error)}); copy or "
            "encode it again."
        ) from error
    for index, picture in zip(group, pictures, strict=True):
        yield index, VideoFrame.from_ndarray(picture, format="rgb24")


def _line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
