"""What a decoder finds out about a file."""

from __future__ import annotations

from dataclasses import dataclass

from cvqa_models.video.frames import Timeline


class UnopenableError(Exception):
    """A file that a decoder cannot open or gets no frame from.

    Attributes:
        another_may: Whether what lacks is a part of this decoder, so that another one may read the file. A file that
            is damaged is damaged for all: one that conceals it is no help.
    """

    def __init__(self, reason: str, *, another_may: bool = False) -> None:
        super().__init__(reason)
        self.another_may = another_may


class TimelineChangedError(Exception):
    """Frames that decode are not those that the container lists."""


@dataclass(frozen=True)
class VideoInfo:
    """What a decoder found out about a file.

    Attributes:
        path: The file.
        decoder: Name of the decoder that opened it.
        timeline: Frames that decode.
        height: Lines of the picture as it is shown: cropped and upright.
        width: Columns of it.
        codec: Name of the compression format, empty if the decoder does not tell.
        stamps: Timestamp of each frame in the container's own unit, None where frames have none that rise.
        stream: Number of the video stream in the container.
        filters: FFmpeg filters that crop a frame and set it upright, as (name, arguments).
        hdr: `PQ` or `HLG` if that is the transfer function, else empty.
        peak: Luminance of the mastering display in cd/m², for HDR.
        notes: What a user should know of the file, each a few words, such as `interlaced`.
    """

    path: str
    decoder: str
    timeline: Timeline
    height: int
    width: int
    codec: str = ""
    stamps: tuple[int, ...] | None = None
    stream: int = 0
    filters: tuple[tuple[str, str], ...] = ()
    hdr: str = ""
    peak: float = 1000.0
    notes: tuple[str, ...] = ()
