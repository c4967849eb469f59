"""PyAV, the reference decoder: it picks streams and shows frames, at their times, as FFmpeg's own program does."""

from __future__ import annotations

import itertools
import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cvqa_models.video.damage import (
    EXACT_CROP,
    LENIENT,
    STRICT,
    WANTING,
    Decoding,
    begins_anywhere,
    cut_short,
    is_animated_webp,
)
from cvqa_models.video.description import dolby_vision, stream_text
from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.geometry import shown, side_data
from cvqa_models.video.groups import Groups, Watch
from cvqa_models.video.h273 import HDR_TRANSFERS, LIMITED_RANGE
from cvqa_models.video.info import FrameTimesChangedError, UnopenableError, UnprovenError, VideoInfo
from cvqa_models.video.libav_log import errors_logged
from cvqa_models.video.scaling import check_matrix

logger = logging.getLogger(__name__)

# For these codecs the standard says that a missing range means limited. FFmpeg takes gray without a range as full.
LIMITED_UNLESS_SAID = {"h264", "hevc", "vvc", "mpeg2video", "mpeg4"}
UNKNOWN_IN_AVI = 1 << 30  # FFmpeg writes this number of frames if it cannot go back to the header
DEFAULT_BONUS = 5_000_000  # pixels by which the ffmpeg program prefers a stream marked as default


def probe_pyav(path: str, stream: int | None = None) -> VideoInfo:
    """Return the times of the frames from the packets of the container; only the first picture is decoded.

    If the packets are not reliable, every picture is decoded: times step back or are repeated, or a packet is marked as
    damaged, as where segments were joined.

    Args:
        path: The file.
        stream: Number of the video stream; None for the stream that the ffmpeg program picks.

    Raises:
        UnopenableError: If PyAV cannot open the file or no frame decodes.
        ValueError: If there is no such video stream, its end is missing, or it cannot be shown.
    """
    with open_file(path) as container:
        chosen = video_stream(path, container, stream)
        decoding, scan = Decoding(container, chosen), _Scan(chosen)
        first = next(decoding.frames(scan.add), None)
        for packet in decoding.rest():
            scan.add(packet)
        if decoding.damage:
            raise _truncated(path, chosen, decoding.packets - 1, decoding.damage)
        if first is None:
            raise UnopenableError("no picture decodes")
        known = sorted(stamp for stamp in scan.stamps if stamp is not None)
        told = len(known) == len(scan.stamps)
        missing = told and _missing_seconds(chosen, known[0], scan.end, len(known)) > 0
        if missing or cut_short(path, container, scan.last_byte):
            raise _truncated(path, chosen, decoding.packets)
        if not scan.doubtful and len(set(known)) in {0, len(scan.stamps)}:
            info = _info(path, container, chosen, _ranged(chosen, first), known or scan.stamps)
            return info if first.interlaced_frame else replace(info, groups=scan.watch.groups())
    return recount_pyav(path, stream)


class _Scan:
    """What the packets of a stream say: the timestamps of the frames, and whether these can be trusted."""

    def __init__(self, stream: VideoStream) -> None:
        self.watch = Watch(stream)
        self.stamps: list[int | None] = []
        self.end = 0
        self.last_byte = 0
        self.doubtful = False  # a packet is marked as damaged, or the clock steps back
        self._clock: int | None = None

    def add(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet."""
        if packet.size == 0:
            return
        self.watch.add(packet)
        self.doubtful |= packet.is_corrupt
        self.last_byte = (packet.pos or 0) + packet.size
        if packet.dts is not None:
            self.doubtful |= self._clock is not None and packet.dts < self._clock
            self._clock = packet.dts
        if not packet.is_discard:
            self.stamps.append(packet.pts)
            self.end = max(self.end, (packet.pts or 0) + (packet.duration or 0))


def recount_pyav(path: str, stream: int | None = None) -> VideoInfo:
    """Return the times of the frames that decode, in the decoder's order. It decodes the whole file.

    Raises:
        ValueError: If decoding fails on the way, or for the reasons of `probe_pyav`.
    """
    with open_file(path) as container:
        chosen = video_stream(path, container, stream)
        stamps: list[int | None] = []
        first = None
        for frame in _decode(path, container, chosen):
            first = first or frame
            stamps.append(frame.pts)
        assert first is not None  # the probe has decoded it
        return _info(path, container, chosen, first, stamps)


def frames_pyav(info: VideoInfo, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, frame) for the ascending indices `wanted`, at least one.

    Pictures that these frames do not need are not decoded, if the bits of the file prove that they are not needed; else
    every picture is decoded.

    Raises:
        FrameTimesChangedError: If the frames that decode do not match `info`.
        UnprovenError: If frames that were decoded without the others may be wrong.
        ValueError: If decoding fails on the way.
    """
    if info.groups is not None and info.stamps is not None:
        yield from _needed_frames(info, info.groups, info.stamps, wanted)
        return
    waiting = iter(wanted)
    target = next(waiting)
    count = 0
    with open_file(info.path) as container:
        chosen = video_stream(info.path, container, info.stream)
        size = None
        for index, frame in enumerate(_decode(info.path, container, chosen)):
            count += 1
            size = _say_new_size(info.path, size, frame, index)
            if index != target:
                continue
            if info.stamps is not None and frame.pts != info.stamps[index]:
                raise FrameTimesChangedError
            yield index, frame
            target = next(waiting, -1)
    if count != info.frame_times.num_frames:
        raise FrameTimesChangedError


def _needed_frames(
    info: VideoInfo, groups: Groups, stamps: Sequence[int], wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (index, frame) for the indices `wanted`, decoding what they need."""
    places = {stamps[index]: index for index in wanted}
    waiting = iter(wanted)
    with open_file(info.path) as container:
        chosen = video_stream(info.path, container, info.stream)
        decoding = Decoding(container, chosen, groups.needed(places))
        size, latest = None, stamps[0] - 1
        for frame in decoding.frames():
            size = size or (frame.width, frame.height)
            odd = frame.interlaced_frame or (frame.width, frame.height) != size
            if odd or frame.pts is None or frame.pts <= latest:
                raise UnprovenError
            latest = frame.pts
            if frame.pts in places:
                if next(waiting, None) != places[frame.pts]:
                    raise UnprovenError
                yield places[frame.pts], _ranged(chosen, frame)
    if decoding.damage or next(waiting, None) is not None or decoding.packets != len(groups.stamps):
        raise UnprovenError


def _say_new_size(path: str, size: tuple[int, int] | None, frame: VideoFrame, index: int) -> tuple[int, int]:
    """Return the size of `frame`; log it if it differs from the size before."""
    new = (frame.width, frame.height)
    if size is not None and new != size:
        told = "x".join(map(str, new))
        logger.warning(
            "'%s': pictures are %s from frame %d on; all are scaled to the size of the first", path, told, index
        )
    return new


def count_pyav(path: str, stream: int | None = None) -> int:
    """Return the number of frames after decoding every one.

    Raises:
        ValueError: If decoding fails on the way.
    """
    with open_file(path) as container:
        return sum(1 for _ in _decode(path, container, video_stream(path, container, stream)))


def open_file(path: str) -> InputContainer:
    """Open a file with any name: a colon does not mean a protocol, nor a percent sign a series of pictures.

    Raises:
        UnopenableError: If PyAV cannot.
        ValueError: If its header is damaged.
    """
    try:
        with errors_logged() as told:
            container: InputContainer = av.open(f"file:{path}", options={"pattern_type": "none", **STRICT})
    except av.error.FFmpegError as error:
        raise UnopenableError(str(error.strerror), another_may=isinstance(error, WANTING)) from error
    if told and is_animated_webp(path):
        raise UnopenableError("an animated WebP", another_may=True)
    if told and not begins_anywhere(container):
        raise ValueError(f"'{path}' has a damaged header ({told[0][:120]}); copy or encode it again.")
    return container


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams of moving pictures, without the cover picture of a sound file."""
    return [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]


def video_stream(path: str, container: InputContainer, number: int | None) -> VideoStream:
    """Return one video stream, by default the largest, as the ffmpeg program picks it.

    Raises:
        ValueError: If there is no video stream, or none with that number.
    """
    streams = video_streams(container)
    if not streams:
        raise ValueError(f"'{path}' holds no video stream, only sound or data; expected a video.")
    if number is None:
        stream = max(streams, key=_preference)
    elif 0 <= number < len(streams):
        stream = streams[number]
    else:
        raise ValueError(f"'{path}' holds {len(streams)} video streams; `stream` is {number}, counted from 0.")
    if stream.codec_context is None:
        raise UnopenableError("its codec is unknown", another_may=True)
    stream.codec_context.options = EXACT_CROP if stream.codec_context.name in LENIENT else STRICT | EXACT_CROP
    stream.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    return stream


def _preference(stream: VideoStream) -> int:
    context = stream.codec_context
    if context is None:
        return -1
    return context.width * context.height + DEFAULT_BONUS * bool(stream.disposition & stream.disposition.default)


def _decode(path: str, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    decoding = Decoding(container, stream)
    for frame in decoding.frames():
        yield _ranged(stream, frame)
    if decoding.damage:
        raise _truncated(path, stream, decoding.pictures, decoding.damage)


def _ranged(stream: VideoStream, frame: VideoFrame) -> VideoFrame:
    """Return the frame; if it names no range, set the range that its standard then means."""
    if stream.codec_context.name in LIMITED_UNLESS_SAID and frame.color_range == 0:
        frame.color_range = LIMITED_RANGE
    return frame


def _missing_seconds(stream: VideoStream, start: int, end: int, packets: int) -> float:
    """Return by how many seconds the packets end too early, less two frames; 0 if the container gives no length."""
    unit, two_frames = float(stream.time_base or 0), 2 / _rate(stream)
    if stream.container.format.name == "ivf" and stream.duration:
        return (stream.duration - (end - start)) * unit - two_frames
    if stream.container.format.name == "avi" and stream.frames < UNKNOWN_IN_AVI:
        # In AVI a frame lasts one tick of the clock, but a tick may be far shorter than a frame. FFmpeg fits the
        # duration to the file; only the announced number of frames, in ticks, stays.
        return (stream.frames - end) * unit - max(two_frames, 2 * (end - start) / packets * unit)
    if "mov" in stream.container.format.name and stream.duration:
        # For fragments FFmpeg gives the end of the last one; the first fragments may be missing, as in a single
        # segment.
        return (stream.duration - (end - start if stream.frames else end)) * unit - two_frames
    if "matroska" in stream.container.format.name and "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - end * unit - two_frames
    return 0.0


def _truncated(path: str, stream: VideoStream, decoded: int, reason: str = "") -> ValueError:
    announced = stream.frames or round(float(stream.duration or 0) * float(stream.time_base or 0) * _rate(stream))
    of = f"of {announced} announced frames" if announced > decoded else "frames"
    told = f" ({reason})" if reason else ""
    return ValueError(f"'{path}' is truncated or damaged after {decoded} {of}{told}; copy or encode it again.")


def _rate(stream: VideoStream) -> float:
    """Return the frame rate that the container gives, else that of the bit stream, else 25 as FFmpeg assumes."""
    return float(stream.average_rate or stream.guessed_rate or stream.codec_context.framerate or 25)


def _info(
    path: str, container: InputContainer, stream: VideoStream, first: VideoFrame, stamps: Sequence[int | None]
) -> VideoInfo:
    """Return the record of a stream; frames without timestamps, or with times that step back, are put 1 / fps apart."""
    check_matrix(path, first)
    text = stream_text(container, stream)
    filters, height, width = shown(path, first, text)
    hdr = HDR_TRANSFERS.get(int(first.color_trc), "")
    notes = []
    known = [stamp for stamp in stamps if stamp is not None]
    rate = _rate(stream)
    if len(known) == len(stamps) and known == sorted(known) and (len(known) == 1 or known[0] < known[-1]):
        times = tuple(float((stamp - known[0]) * (stream.time_base or 0)) for stamp in known)
        rate = (len(times) - 1) / times[-1] if len(times) > 1 else rate
        order: tuple[int, ...] | None = tuple(known)
    else:
        if known != sorted(known):
            rate = float(stream.guessed_rate or rate)  # the average is wrong if the times are
            notes.append(f"its frame times do not rise, so frame k is taken at k / {rate:g} s")
        times, order = tuple(i / rate for i in range(len(stamps))), None
    if first.interlaced_frame:
        notes.append("interlaced")
    elif _telecined(times):
        notes.append("telecined")
    notes += dolby_vision(path, text, hdr)
    number = video_streams(container).index(stream)
    frame_times = FrameTimes(len(times), rate, times)
    codec = stream.codec_context.name
    return VideoInfo(
        path, "pyav", frame_times, height, width, codec, order, number, filters, hdr, _peak(first), tuple(notes)
    )


def _peak(first: VideoFrame) -> float:
    """Return the luminance of the mastering display in cd/m², 1000 if the stream does not give it."""
    told = side_data(first, "MASTERING_DISPLAY_METADATA")
    if told is None:
        return 1000.0
    top, unit, _, known = struct.unpack_from("=4i", told, 72)
    return float(top / unit) if known and unit > 0 and top > 0 else 1000.0


def _telecined(times: Sequence[float]) -> bool:
    """Return whether frames last two and three fields in turn, as film shown at 59.94 fields a second does."""
    gaps = [after - before for before, after in itertools.pairwise(times)][:60]
    if len(gaps) < 8:
        return False
    one, other = sorted((sum(gaps[0::2]) / len(gaps[0::2]), sum(gaps[1::2]) / len(gaps[1::2])))
    even = all(abs(gap - one) < 0.1 * one or abs(gap - other) < 0.1 * other for gap in gaps)
    return even and 1.4 < other / max(one, 1e-9) < 1.6
