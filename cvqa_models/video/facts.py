"""What a viewer would want to know of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvqa_models.video.info import UnopenableError, VideoInfo
from cvqa_models.video.pyav_decoder import open_file, video_stream, video_streams

# By H.273 number.
_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020nc"}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt601-625",
    6: "bt601-525",
    7: "smpte240m",
    9: "bt2020",
    11: "dci-p3",
    12: "display-p3",
}
_TRANSFERS = {
    1: "bt709",
    4: "gamma2.2",
    5: "gamma2.8",
    6: "bt601",
    7: "smpte240m",
    8: "linear",
    13: "srgb",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "pq",
    18: "hlg",
}
_RANGES = {1: "limited", 2: "full"}


@dataclass(frozen=True)
class Facts:
    """A file as it is stored and shown; empty text where it does not say.

    Attributes:
        container: Names of the format, as FFmpeg spells them.
        codec: Compression format.
        pixel_format: FFmpeg's name of the stored format.
        depth: Bits per sample.
        width: Columns as shown: cropped and upright.
        height: Lines as shown.
        stored_width: Columns as decoded.
        stored_height: Lines as decoded.
        aspect_ratio: Width of a pixel over its height; scores take pixels as they are.
        fps: Mean frames per second.
        frames: Frames that decode.
        seconds: Length.
        range: `limited` or `full`.
        matrix: Colour matrix.
        primaries: Colour primaries; they are not converted.
        transfer: Transfer function, `pq` and `hlg` for HDR.
        orientation: Filters that set a frame upright, such as `transpose=clock`.
        crop: Filter that cuts what the container hides.
        interlacing: `interlaced`, `telecined` or `progressive`, by what the stream says of its first frame.
        streams: Number of video streams.
        notes: What else is odd, each a few words.
    """

    container: str
    codec: str
    pixel_format: str
    depth: int
    width: int
    height: int
    stored_width: int
    stored_height: int
    aspect_ratio: float
    fps: float
    frames: int
    seconds: float
    range: str
    matrix: str
    primaries: str
    transfer: str
    orientation: str
    crop: str
    interlacing: str
    streams: int
    notes: tuple[str, ...]


def describe(info: VideoInfo) -> Facts | None:
    """Return the facts of a file that `probe` has read; None if PyAV cannot open it.

    Raises:
        ValueError: If it holds no video stream.
    """
    try:
        container = open_file(info.path)
    except UnopenableError:
        return None
    with container:
        stream = video_stream(info.path, container, info.stream if info.decoder == "pyav" else None)
        context, timeline = stream.codec_context, info.timeline
        layout = context.format
        return Facts(
            container=container.format.name,
            codec=context.name,
            pixel_format=layout.name if layout else "",
            depth=layout.components[0].bits if layout and not layout.has_palette else 8,
            width=info.width,
            height=info.height,
            stored_width=context.width,
            stored_height=context.height,
            aspect_ratio=float(stream.sample_aspect_ratio or 1),
            fps=timeline.fps,
            frames=timeline.num_frames,
            seconds=timeline.duration,
            range=_named(_RANGES, context.color_range),
            matrix=_named(_MATRICES, context.colorspace),
            primaries=_named(_PRIMARIES, context.color_primaries),
            transfer=_named(_TRANSFERS, context.color_trc),
            orientation=_filters(info, crop=False),
            crop=_filters(info, crop=True),
            interlacing=next((n for n in info.notes if n in {"interlaced", "telecined"}), "progressive"),
            streams=len(video_streams(container)),
            notes=info.notes,
        )


def _filters(info: VideoInfo, *, crop: bool) -> str:
    chosen = [(name, arguments) for name, arguments in info.filters if (name == "crop") == crop]
    return ",".join(f"{name}={arguments}" if arguments else name for name, arguments in chosen)


def _named(names: Mapping[int, str], number: Any) -> str:
    """Return the name of an H.273 number, the number itself if we have none, nothing for `unspecified`."""
    return names.get(int(number), "" if int(number) in {0, 2} else str(int(number)))
