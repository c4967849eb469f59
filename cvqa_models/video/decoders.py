"""The decoders: each finds a file's true timeline and gives the frames asked for, in order.

PyAV is the reference; the others serve files that it cannot open, or an explicit choice. A file is opened anew for
every call and decoded on one thread, because decoders that outlive a fork or share threads hang data loaders.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cvqa_models.video.frames import Timeline

GROUP = 8  # frames that a batch decoder is asked for at a time: 50 MB of 1080p


class UnopenableError(Exception):
    """A file that a decoder cannot open or gets no frame from; another decoder may."""


class TimelineChangedError(Exception):
    """Frames that decode are not those that the container lists."""


@dataclass(frozen=True)
class VideoInfo:
    """What a decoder found out about a file.

    Attributes:
        path: The file.
        decoder: Name of the decoder that opened it.
        timeline: Frames that decode.
        height: Lines of the upright picture.
        width: Columns of the upright picture.
        codec: Name of the compression format, empty if the decoder does not tell.
        stamps: Timestamp of each frame in the container's own unit, None where it has none.
    """

    path: str
    decoder: str
    timeline: Timeline
    height: int
    width: int
    codec: str = ""
    stamps: tuple[int, ...] | None = None


# PyAV -----------------------------------------------------------------------------------------------------------------


def probe_pyav(path: str) -> VideoInfo:
    """Return the timeline by the packets of the container; of the pictures only the first is decoded.

    Raises:
        UnopenableError: If PyAV cannot open the file or the first frame does not decode.
        ValueError: If there is no video stream or the end of it is missing.
    """
    with _open(path) as container:
        stream = _video_stream(path, container)
        first: VideoFrame | None = None
        packets = 0
        stamps: list[int | None] = []
        end = 0
        try:
            for packet in container.demux(stream):
                if first is None:
                    first = next(iter(packet.decode()), None)
                if packet.size == 0:
                    continue
                packets += 1
                if packet.is_corrupt:
                    raise _truncated(path, stream, packets - 1)
                if not packet.is_discard:
                    stamps.append(packet.pts)
                    end = max(end, (packet.pts or 0) + (packet.duration or 0))
        except av.error.FFmpegError as error:
            if first is None:
                raise UnopenableError(f"no frame decodes ({error.strerror})") from error
            raise _truncated(path, stream, packets) from error
        if first is None:
            raise UnopenableError("it yields no frames")
        if None not in stamps and _missing_seconds(stream, min(s for s in stamps if s is not None), end) > 0:
            raise _truncated(path, stream, packets)
        return _info(path, stream, first, stamps)


def recount_pyav(path: str) -> VideoInfo:
    """Return the timeline by the frames that decode, at the cost of a full decode.

    Raises:
        ValueError: If decoding fails on the way.
    """
    with _open(path) as container:
        stream = _video_stream(path, container)
        stamps: list[int | None] = []
        first = None
        for frame in _decode(path, container, stream):
            first = first or frame
            stamps.append(frame.pts)
        assert first is not None  # the probe has decoded it
        return _info(path, stream, first, stamps)


def frames_pyav(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, frame) for the ascending indices `wanted`, at least one; decoding ends with the last of them.

    Raises:
        TimelineChangedError: If the frames that decode do not match `info`.
        ValueError: If decoding fails on the way.
    """
    waiting = iter(wanted)
    target = next(waiting)
    with _open(info.path) as container:
        for index, frame in enumerate(_decode(info.path, container, _video_stream(info.path, container))):
            if index < target:
                continue
            if info.stamps is not None and frame.pts != info.stamps[index]:
                break
            yield index, frame
            target = next(waiting, -1)
            if target < 0:
                return
    raise TimelineChangedError


def count_pyav(path: str) -> int:
    """Return the number of frames after decoding every one.

    Raises:
        ValueError: If decoding fails on the way.
    """
    with _open(path) as container:
        return sum(1 for _ in _decode(path, container, _video_stream(path, container)))


def _open(path: str) -> InputContainer:
    try:
        container: InputContainer = av.open(path)
    except av.error.FFmpegError as error:
        raise UnopenableError(error.strerror) from error
    return container


def _video_stream(path: str, container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
            return stream
    raise ValueError(f"'{path}' holds no video stream, only sound or data; expected a video.")


def _decode(path: str, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    decoded = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise _truncated(path, stream, decoded)
            yield frame
            decoded += 1
    except av.error.FFmpegError as error:
        raise _truncated(path, stream, decoded) from error


def _missing_seconds(stream: VideoStream, start: int, end: int) -> float:
    """Return the seconds by which packets end before MP4 or Matroska says, less two frames; others do not say."""
    unit, two_frames = float(stream.time_base or 0), 2 / _rate(stream)
    if "mov" in stream.container.format.name and stream.duration:
        return (stream.duration - (end - start)) * unit - two_frames
    if "matroska" in stream.container.format.name and "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - end * unit - two_frames
    return 0.0


def _truncated(path: str, stream: VideoStream, decoded: int) -> ValueError:
    announced = stream.frames or round(float(stream.duration or 0) * float(stream.time_base or 0) * _rate(stream))
    of = f"of {announced} announced frames" if announced > decoded else "frames"
    return ValueError(f"'{path}' is truncated or damaged after {decoded} {of}; copy or encode it again.")


def _rate(stream: VideoStream) -> float:
    """Return the frame rate by the container, else by the bit stream, else 25 as FFmpeg assumes."""
    return float(stream.average_rate or stream.guessed_rate or stream.codec_context.framerate or 25)


def _info(path: str, stream: VideoStream, first: VideoFrame, stamps: Sequence[int | None]) -> VideoInfo:
    """Return the record of a stream; frames without timestamps lie 1 / fps apart."""
    known = sorted(stamp for stamp in stamps if stamp is not None)
    rate = _rate(stream)
    if len(known) == len(stamps) and (len(known) == 1 or known[0] < known[-1]):
        times = tuple(float((stamp - known[0]) * (stream.time_base or 0)) for stamp in known)
        rate = (len(times) - 1) / times[-1] if len(times) > 1 else rate
        order: tuple[int, ...] | None = tuple(known)
    else:
        times, order = tuple(i / rate for i in range(len(stamps))), None
    turned = first.rotation % 180 != 0
    height, width = (first.width, first.height) if turned else (first.height, first.width)
    timeline = Timeline(len(times), rate, times)
    return VideoInfo(path, "pyav", timeline, height, width, stream.codec_context.name, order)


# torchcodec -----------------------------------------------------------------------------------------------------------


def _torchcodec(path: str) -> Any:
    try:
        module = importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError) as error:  # a missing package, or one that finds no FFmpeg
        raise UnopenableError("it is not installed") from error
    try:
        return module.VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    except (RuntimeError, ValueError) as error:
        raise UnopenableError(_line(error)) from error


def probe_torchcodec(path: str) -> VideoInfo:
    """Return the timeline by torchcodec's scan; frames lie 1 / fps apart."""
    about = _torchcodec(path).metadata
    if not about.num_frames:
        raise UnopenableError("it yields no frames")
    timeline = _constant_rate(about.num_frames, about.average_fps)
    return VideoInfo(path, "torchcodec", timeline, about.height, about.width, about.codec or "")


def frames_torchcodec(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) in small groups."""
    decoder = _torchcodec(info.path)
    for group in _groups(wanted):
        yield from _in_rgb(info.path, group, lambda indices: decoder.get_frames_at(indices).data.numpy())


# decord ---------------------------------------------------------------------------------------------------------------


def _decord(path: str) -> Any:
    decord = importlib.import_module("decord")
    try:
        return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    except (RuntimeError, decord.DECORDError) as error:
        raise UnopenableError(_line(error)) from error


def probe_decord(path: str) -> VideoInfo:
    """Return the timeline by decord's index."""
    reader = _decord(path)
    if not len(reader):
        raise UnopenableError("it yields no frames")
    starts = sorted(float(start) for start, _ in reader.get_frame_timestamp(range(len(reader))))
    height, width, _ = reader[0].shape
    times = tuple(start - starts[0] for start in starts)
    return VideoInfo(path, "decord", Timeline(len(times), reader.get_avg_fps(), times), height, width)


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
    yield from imageio_ffmpeg.read_frames(path, input_params=["-threads", "1"], output_params=flags)


def probe_ffmpeg(path: str) -> VideoInfo:
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
    return VideoInfo(path, "ffmpeg", _constant_rate(count, about["fps"] or 25.0), height, width, about["codec"])


def frames_ffmpeg(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) out of a pipe that is read up to the last one wanted."""
    asked = set(wanted)
    with closing(_pipe(info.path)) as pipe:
        next(pipe)
        for index, raw in zip(range(wanted[-1] + 1), pipe, strict=False):
            if index in asked:
                picture = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
                yield index, VideoFrame.from_ndarray(picture, format="rgb24")


class Decoder(NamedTuple):
    """A way to read files: `probe` finds the timeline, `frames` gives the frames."""

    probe: Callable[[str], VideoInfo]
    frames: Callable[[VideoInfo, Sequence[int]], Iterator[tuple[int, VideoFrame]]]


DECODERS = {
    "pyav": Decoder(probe_pyav, frames_pyav),
    "torchcodec": Decoder(probe_torchcodec, frames_torchcodec),
    "ffmpeg": Decoder(probe_ffmpeg, frames_ffmpeg),
    "decord": Decoder(probe_decord, frames_decord),
}


def _constant_rate(count: int, fps: float) -> Timeline:
    return Timeline(count, fps, tuple(i / fps for i in range(count)))


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
