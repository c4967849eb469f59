"""One verdict on damage, for every command that reads a file: what FFmpeg raises or logs, and pictures that never come.

What no decoder can tell stays unseen: flipped bits that happen to be another valid picture, and the lost end of a
stream that does not announce its length, as MPEG-TS and bare streams do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from cvqa_models.video.info import TimelineChangedError, UnopenableError

# A strict decoder raises where it would else conceal or drop a picture without a word.
STRICT = {"err_detect": "explode"}
# Without it a decoder cuts the left border only as far as suits the processor's memory access.
EXACT_CROP = {"flags": "+unaligned"}
# Streams that may begin anywhere, as broadcasts do: what comes before the first key frame refers to what is not there.
BEGIN_ANYWHERE = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "vvc", "m4v", "obu"}
# What FFmpeg raises for want of a decoder; another program may have one. Anything else is the file's own fault.
WANTING = (
    av.error.DecoderNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.NotImplementedError,
    av.error.PatchWelcomeError,
    av.error.ProtocolNotFoundError,
)

# A strict TIFF decoder refuses fields that it does not use, which it logs as errors; every picture is whole.
LENIENT = {"tiff"}
HARMLESS = ("Unknown or unsupported tag",)


@contextmanager
def one_sentence(path: object) -> Iterator[None]:
    """Turn whatever a library raises over a file into a ValueError of one sentence that names it."""
    try:
        yield
    except (UnopenableError, TimelineChangedError, MemoryError):
        raise
    except Exception as error:  # a damaged header reaches libraries as any value, and they fail on it in any way
        ours = type(error) is ValueError or (isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError))
        if ours:
            raise
        kind, text = type(error).__name__, (str(error).strip() or "no reason given").splitlines()[0]
        raise ValueError(
            f"'{path}' is damaged, or its decoder fails ({kind}: {text}); copy or encode it again."
        ) from error


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """Collect what FFmpeg logs as an error in this thread: some decoders, such as FFV1's, tell it nowhere else."""
    level, collapse = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    told: list[str] = []
    try:
        with av.logging.Capture(local=True) as lines:
            yield told
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(collapse)
        told += [f"{name}: {text.strip()}" for _, name, text in lines if not text.startswith(HARMLESS)]


def begins_anywhere(container: InputContainer) -> bool:
    """Return whether streams of a container may begin with pictures that refer to what is not there."""
    return bool(BEGIN_ANYWHERE & set(container.format.name.split(",")))


def cut_short(path: str, container: InputContainer, end: int) -> bool:
    """Return whether a file stops within a box of MP4 or a picture of Y4M, which FFmpeg passes over in silence.

    Args:
        path: The file.
        container: The same, opened.
        end: Where the last packet ends, in bytes.
    """
    size = Path(path).stat().st_size
    if container.format.name == "yuv4mpegpipe":
        return size - end > len("FRAME\n")  # which stands before a picture, outside of its packet
    if "mov" not in container.format.name:
        return False
    place, kind = 0, b""
    with Path(path).open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            length = int.from_bytes(header[8:], "big") if length == 1 else length
            if length < 8:  # 0 is a box up to the end
                return False
            place += length
    return place > size and kind in {b"moof", b"mdat", b"moov"}


class Decoding:
    """The packets and pictures of one stream, and the first sign that it is damaged.

    Args:
        container: Opened file.
        stream: Stream of `container` that is read.

    Attributes:
        packets: Number of packets so far.
        pictures: Number of pictures so far.
        damage: What is wrong, empty if nothing is.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.packets = 0
        self.pictures = 0
        self.damage = ""
        self._source = container.demux(stream)
        self._begins_anywhere = begins_anywhere(container)
        self._interlaced = False
        self._sent: set[int] = set()
        self._shown: set[int] = set()

    def frames(self, seen: Callable[[Packet[VideoStream]], None] | None = None) -> Iterator[VideoFrame]:
        """Yield the pictures up to the first sign of damage, which is then in `damage`.

        Args:
            seen: Is told of every packet.
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
        """Yield the packets that are left, up to the first sign of damage, without decoding them."""
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
            if packet.pts is not None and not packet.is_discard:
                self._sent.add(packet.pts)
        return packet

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        if not packet.size and packet.pts is not None:
            return []  # Theora repeats a picture so; a decoder would take it for the end, and FFmpeg's program skips it
        try:
            return packet.decode()
        except WANTING as error:
            raise UnopenableError(str(error.strerror), another_may=True) from error
        except av.error.FFmpegError as error:
            if not self._begins_anywhere or self.pictures or packet.is_keyframe:
                self.damage = str(error.strerror)
            return []

    def _judge(self, told: Sequence[str]) -> None:
        """Take errors in the log for damage, but for those of pictures in front of the stream's beginning."""
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
        """Return a sign of damage if pictures after the first one never came; two fields make one interlaced picture.

        Those before it may refer to pictures in front of the stream's beginning.
        """
        if not self._shown:
            return ""
        first = min(self._shown)
        lost = len({stamp for stamp in self._sent if stamp > first} - self._shown)
        if lost and not (self._interlaced and 2 * len(self._shown) >= len(self._sent)):
            return f"{lost} pictures do not decode"
        return ""
