"""The decoders: each finds the true times of a file's frames, and gives the requested frames in order.

PyAV is the reference. The others are used for files that PyAV cannot open, or if the user chooses one. Every call opens
the file again and decodes on one thread: a decoder that outlives a fork or shares threads makes data loaders hang.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.geometry import Filters
from cvqa_models.video.h273 import HDR_NAMES
from cvqa_models.video.info import UnopenableError, VideoInfo
from cvqa_models.video.pyav_decoder import frames_pyav, probe_pyav

GROUP = 8  # frames per request to a batch decoder: 50 MB of 1080p


# torchcodec -----------------------------------------------------------------------------------------------------------


def _torchcodec(path: str) -> Any:
    try:
        module = importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError) as error:  # the package is missing, or finds no FFmpeg
        raise UnopenableError("it is not installed") from error
    try:
        return module.VideoDecoder(_whole_name(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    except (RuntimeError, ValueError) as error:
        raise UnopenableError(_line(error)) from error


def probe_torchcodec(path: str, stream: int | None = None) -> VideoInfo:
    """Return the times of the frames by torchcodec's scan; frames are taken as 1 / fps apart."""
    about = _torchcodec(path).metadata
    if not about.num_frames:
        raise UnopenableError("it yields no frames")
    frame_times = _constant_rate(about.num_frames, about.average_fps)
    return _as_pyav_shows(VideoInfo(path, "torchcodec", frame_times, about.height, about.width, about.codec or ""))


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
    """Return the times of the frames by decord's index."""
    reader = _decord(path)
    if not len(reader):
        raise UnopenableError("it yields no frames")
    starts = sorted(float(start) for start, _ in reader.get_frame_timestamp(range(len(reader))))
    height, width, _ = reader[0].shape
    times = tuple(start - starts[0] for start in starts)
    return _as_pyav_shows(VideoInfo(path, "decord", FrameTimes(len(times), reader.get_avg_fps(), times), height, width))


def frames_decord(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) in small groups. Decord reads ahead, so memory grows if the consumer is slow."""
    reader = _decord(info.path)
    for group in _groups(wanted):
        yield from _in_rgb(info.path, group, lambda indices: reader.get_batch(indices).asnumpy())


# The ffmpeg program ---------------------------------------------------------------------------------------------------


def _pipe(path: str) -> Generator[Any, None, None]:
    """Yield ffmpeg's description of the file, then raw RGB frames."""
    imageio_ffmpeg = importlib.import_module("imageio_ffmpeg")
    flags = ["-sws_flags", "bilinear+accurate_rnd+full_chroma_int+full_chroma_inp", "-fps_mode", "passthrough"]
    yield from imageio_ffmpeg.read_frames(f"file:{path}", input_params=["-threads", "1"], output_params=flags)


def probe_ffmpeg(path: str, stream: int | None = None) -> VideoInfo:
    """Return the times of the frames that the ffmpeg program delivers.

    Raises:
        UnopenableError: If it cannot open the file or gets no frame from it.
        ValueError: If it reports damage in a file that PyAV cannot judge.
    """
    with closing(_pipe(path)) as pipe:
        try:
            about = next(pipe)
        except (OSError, RuntimeError, StopIteration) as error:
            raise UnopenableError(_line(error)) from error
    times = _times(path)
    if not times:
        raise UnopenableError("it yields no frames")
    width, height = about["size"]
    frame_times = FrameTimes(len(times), (len(times) - 1) / times[-1] if times[-1] else about["fps"] or 25.0, times)
    info = VideoInfo(path, "ffmpeg", frame_times, height, width, about["codec"], hdr=_hdr(path))
    return _as_pyav_shows(info)


def _times(path: str) -> tuple[float, ...]:
    """Return the seconds at which the ffmpeg program shows each frame, the first at 0."""
    told = _told(path, "-fps_mode", "passthrough", "-f", "framecrc", "-").stdout.decode()
    unit = Fraction((re.search(r"^#tb 0: (\S+)", told, re.MULTILINE) or ["", "1"])[1])
    stamps = [int(line.split(",")[2]) for line in told.splitlines() if not line.startswith("#")]
    return tuple(float((stamp - stamps[0]) * unit) for stamp in stamps)


def _check_strictly(path: str) -> None:
    """Check a file that only the ffmpeg program can judge, in its strict mode.

    Raises:
        ValueError: If the program reports an error.
    """
    done = _told(path, "-f", "null", "-", before=("-err_detect", "explode"))
    # Messages about the times of the empty output are no errors of the file.
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("[null @")]
    if lines or done.returncode:
        reason = lines[0] if lines else f"exit code {done.returncode}"
        raise ValueError(f"'{path}' is truncated or damaged (ffmpeg: {reason[:120]}); copy or encode it again.")


def _told(path: str, *output: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    program = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    # With several threads, fields of MPEG-4's B-frames are decoded wrongly.
    command = [program, "-v", "error", "-nostdin", "-threads", "1", *before, "-i", f"file:{path}", "-an", *output]
    return subprocess.run(command, capture_output=True, check=False)


def frames_ffmpeg(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, RGB frame) from a pipe, which is read up to the last wanted frame."""
    asked = set(wanted)
    with closing(_pipe(info.path)) as pipe:
        next(pipe)
        for index, raw in zip(range(wanted[-1] + 1), pipe, strict=False):
            if index in asked:
                picture = np.frombuffer(raw, np.uint8).reshape(info.height, info.width, 3)
                yield index, VideoFrame.from_ndarray(picture, format="rgb24")


def _hdr(path: str) -> str:
    """Return `PQ` or `HLG` if the ffmpeg program names one of them as transfer function, else an empty text."""
    program = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    told = subprocess.run([program, "-hide_banner", "-i", f"file:{path}"], capture_output=True, check=False).stderr
    found = re.search("|".join(HDR_NAMES), told.decode(errors="replace"))
    return HDR_NAMES[found[0]] if found else ""


class Decoder(NamedTuple):
    """A way to read files: `probe` finds when each frame is shown, `frames` gives the frames.

    `probe` takes the number of a video stream. Only PyAV obeys it; the others take the stream that they find.
    """

    probe: Callable[[str, int | None], VideoInfo]
    frames: Callable[[VideoInfo, Sequence[int]], Iterator[tuple[int, VideoFrame]]]


DECODERS = {
    "pyav": Decoder(probe_pyav, frames_pyav),
    "torchcodec": Decoder(probe_torchcodec, frames_torchcodec),
    "ffmpeg": Decoder(probe_ffmpeg, frames_ffmpeg),
    "decord": Decoder(probe_decord, frames_decord),
}


# Filters that decord and torchcodec apply by themselves: turns by 90, 180 or 270 degrees, but no mirroring or cropping.
_TURNS: tuple[Filters, ...] = (
    (),
    (("transpose", "clock"),),
    (("transpose", "cclock"),),
    (("hflip", ""), ("vflip", "")),
)


def _as_pyav_shows(info: VideoInfo) -> VideoInfo:
    """Return `info` with the HDR type and notes that PyAV finds, if PyAV can open the file.

    Raises:
        ValueError: If the decoder shows other pictures than PyAV: another stream or number of frames, mirrored or not
            cropped.
    """
    try:
        truth = probe_pyav(info.path)
    except UnopenableError:
        if info.decoder == "ffmpeg":
            _check_strictly(info.path)
        return info
    ours, theirs = (f"{v.frame_times.num_frames} frames of {v.width}x{v.height}" for v in (info, truth))
    same = ours == theirs and (info.decoder == "ffmpeg" or truth.filters in _TURNS)
    if not same:
        raise ValueError(
            f"'{info.path}' is not shown by {info.decoder} as it should be ({ours}; expected {theirs}, cropped and "
            "upright); leave `decoder: auto`."
        )
    return replace(info, hdr=truth.hdr, notes=truth.notes)


def _constant_rate(count: int, fps: float) -> FrameTimes:
    return FrameTimes(count, fps, tuple(i / fps for i in range(count)))


def _whole_name(path: str) -> str:
    """Return the absolute name of a file, so that ffmpeg takes no part before a colon for a protocol."""
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
