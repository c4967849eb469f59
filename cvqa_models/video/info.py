"""What a decoder finds out about a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.groups import Groups


class UnopenableError(Exception):
    """A file that a decoder cannot open or gets no frame from.

    Attributes:
        another_may: Whether this decoder lacks a part, so that another one may read the file. It is false if the file
            is damaged, because a decoder that hides the damage does not help.
    """

    def __init__(self, reason: str, *, another_may: bool = False) -> None:
        super().__init__(reason)
        self.another_may = another_may


class FrameTimesChangedError(Exception):
    """The frames that decode are not the frames that the container lists."""


class UnprovenError(Exception):
    """Pictures that were decoded without the rest of the file may differ from those of a full decode."""


@dataclass(frozen=True)
class VideoInfo:
    """What a decoder found out about a file.

    Attributes:
        path: The file.
        decoder: Name of the decoder that opened it.
        frame_times: Frames that decode.
        height: Lines of the picture as it is shown: cropped and upright.
        width: Columns of the picture as it is shown.
        codec: Name of the compression format, empty if the decoder does not give it.
        stamps: Timestamp of each frame in the container's unit; None if frames have none, or they do not rise.
        stream: Number of the video stream in the container.
        filters: FFmpeg filters that crop a frame and set it upright, as (name, arguments).
        hdr: `PQ` or `HLG` if that is the transfer function, else empty.
        peak: Luminance of the mastering display in cd/m², for HDR.
        notes: What a user should know of the file, each a few words, such as `interlaced`.
        groups: Which packets may be left undecoded; None if every picture must be decoded.
    """

    path: str
    decoder: str
    frame_times: FrameTimes
    height: int
    width: int
    codec: str = ""
    stamps: tuple[int, ...] | None = None
    stream: int = 0
    filters: tuple[tuple[str, str], ...] = ()
    hdr: str = ""
    peak: float = 1000.0
    notes: tuple[str, ...] = ()
    groups: Groups | None = field(default=None, repr=False)
