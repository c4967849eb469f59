"""Decide whether a file is damaged, alike for all commands: by FFmpeg's errors and log, and by missing pictures.

Damage that no decoder can see is not found: flipped bits that give another valid picture, and a lost end of a stream
that does not announce its length (MPEG-TS and bare streams do not).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cvqa_models.video.info import FrameTimesChangedError, UnopenableError, UnprovenError
from cvqa_models.video.libav_log import errors_logged

# A strict decoder raises an error; otherwise it would silently conceal or drop a picture.
STRICT = {"err_detect": "explode"}
# Without this flag a decoder may crop less at the left border, to keep memory access aligned.
EXACT_CROP = {"flags": "+unaligned"}
# Streams that may begin anywhere, as broadcasts do: pictures before the first key frame refer to missing pictures.
BEGIN_ANYWHERE = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "vvc", "m4v", "obu"}
# Errors of FFmpeg for a missing decoder; another program may have one. Any other error is the fault of the file.
WANTING = (
    av.error.DecoderNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.NotImplementedError,
    av.error.PatchWelcomeError,
    av.error.ProtocolNotFoundError,
)

# A strict TIFF decoder logs errors for fields that it does not use and refuses the file, though each picture is whole.
LENIENT = {"tiff"}


@contextmanager
def plain_library_errors(path: object) -> Iterator[None]:
    """Turn any error that a library raises for a file into a ValueError with one sentence that names the file."""
    try:
        yield
    except (UnopenableError, FrameTimesChangedError, UnprovenError, MemoryError):
        raise
    except Exception as error:  # a damaged header may hold any value, and libraries may raise anything for it
        ours = type(error) is ValueError or (isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError))
        if ours:
            raise
        kind, text = type(error).__name__, (str(error).strip() or "no reason given").splitlines()[0]
        raise ValueError(
            f"'{path}' is damaged, or its decoder fails ({kind}: {text}); copy or encode it again."
        ) from error


def begins_anywhere(container: InputContainer) -> bool:
    """Return whether streams of a container may begin with pictures that refer to missing pictures."""
    return bool(BEGIN_ANYWHERE & set(container.format.name.split(",")))


def is_animated_webp(path: str) -> bool:
    """Return whether the header of a file says that it is an animated WebP, which PyAV's FFmpeg cannot decode."""
    with Path(path).open("rb") as file:
        header = file.read(21)
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and bool(header[20] & 2)


def cut_short(path: str, container: InputContainer, end: int) -> bool:
    """Return whether a file ends inside a box of MP4 or a picture of Y4M; FFmpeg does not report that.

    Args:
        path: The file.
        container: The same file, opened.
        end: Where the last packet ends, in bytes.
    """
    size = Path(path).stat().st_size
    if container.format.name == "yuv4mpegpipe":
        return size - end > len("FRAME\n")  # this mark stands before each picture, outside its packet
    if "mov" not in container.format.name:
        return False
    place, kind = 0, b""
    with Path(path).open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            length = int.from_bytes(header[8:], "big") if length == 1 else length
            if length < 8:  # 0 means that the box reaches to the end
                return False
            place += length
    return place > size and kind in {b"moof", b"mdat", b"moov"}


class Decoding:
    """The packets and pictures of one stream, and the first sign that it is damaged.

    Args:
        container: Opened file.
        stream: Stream of `container` that is read.
        needed: Numbers of the packets to decode -> whether the decoder is emptied before the packet; None for all.

    Attributes:
        packets: Number of packets so far.
        pictures: Number of pictures so far.
        damage: What is wrong, empty if nothing is.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, needed: Mapping[int, bool] | None = None
    ) -> None:
        self.packets = 0
        self.pictures = 0
        self.damage = ""
        self._source = container.demux(stream)
        self._context = stream.codec_context
        self._needed = needed
        self._begins_anywhere = begins_anywhere(container)
        self._interlaced = False
        self._sent: set[int] = set()
        self._shown: set[int] = set()

    def frames(self, seen: Callable[[Packet[VideoStream]], None] | None = None) -> Iterator[VideoFrame]:
        """Yield the pictures up to the first sign of damage, which is then stored in `damage`.

        Args:
            seen: Called with every packet.
        """
        while not self.damage:
            frames: list[VideoFrame] = []
            with errors_logged() as told:
                packet = self._next()
                if packet is not None:
                    frames = self._decode(packet)
            self._judge(told)
            if packet is None:
                break
            if seen is not None:
                seen(packet)
            for frame in frames:
                self._take(frame)
                if self.damage:
                    return
                yield frame
        if not self.damage:
            self.damage = self._dropped()

    def rest(self) -> Iterator[Packet[VideoStream]]:
        """Yield the remaining packets, up to the first sign of damage, without decoding them."""
        while not self.damage:
            with errors_logged() as told:
                packet = self._next()
            self._judge(told)
            if packet is None:
                return
            yield packet

    def _next(self) -> Packet[VideoStream] | None:
        try:
            packet = next(self._source, None)
        except av.error.FFmpegError as error:
            self.damage = str(error.strerror)
            return None
        if packet is not None and packet.size:
            self.packets += 1
        return packet

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        if not packet.size and packet.pts is not None:
            return []  # Theora repeats a picture so; a decoder would take it for the end, so FFmpeg's program skips it
        number = self.packets - 1
        if packet.size and self._needed is not None and number not in self._needed:
            return []
        if packet.size and packet.pts is not None and not packet.is_discard:
            self._sent.add(packet.pts)
        try:
            if packet.size and self._needed is not None and self._needed[number]:
                left = self._context.decode(None)
                self._context.flush_buffers()
                return left + packet.decode()
            return packet.decode()
        except WANTING as error:
            raise UnopenableError(str(error.strerror), another_may=True) from error
        except av.error.FFmpegError as error:
            if not self._begins_anywhere or self.pictures or packet.is_keyframe:
                self.damage = str(error.strerror)
            return []

    def _judge(self, told: Sequence[str]) -> None:
        """Count errors in the log as damage, except errors of pictures before the first whole one."""
        if told and not self.damage and (self.pictures or not self._begins_anywhere):
            self.damage = told[0][:120]

    def _take(self, frame: VideoFrame) -> None:
        if frame.is_corrupt:
            self.damage = "a picture is marked as corrupt"
            return
        self.pictures += 1
        self._interlaced |= frame.interlaced_frame
        if frame.pts is not None:
            self._shown.add(frame.pts)

    def _dropped(self) -> str:
        """Return a sign of damage if pictures after the first one are missing; two fields make one interlaced picture.

        Pictures before it may refer to pictures from before the beginning of the stream.
        """
        if not self._shown:
            return ""
        first = min(self._shown)
        lost = len({stamp for stamp in self._sent if stamp > first} - self._shown)
        if lost and not (self._interlaced and 2 * len(self._shown) >= len(self._sent)):
            return f"{lost} pictures do not decode"
        return ""
