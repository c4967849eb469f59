"""Facts about a video file: its container, codec, size, rate, colours, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvqa_models.video.damage import plain_library_errors
from cvqa_models.video.h273 import FULL_RANGE, LIMITED_RANGE, MATRICES, OTHER_MATRICES, PRIMARIES, TRANSFERS
from cvqa_models.video.info import UnopenableError, VideoInfo
from cvqa_models.video.pyav_decoder import open_file, video_stream, video_streams

_RANGES = {LIMITED_RANGE: "limited", FULL_RANGE: "full"}


@dataclass(frozen=True)
class Facts:
    """How a video file is stored and shown; empty text for what the file does not say.

    Attributes:
        container: Names of the format, as FFmpeg spells them.
        codec: Compression format.
        pixel_format: FFmpeg's name of the stored format.
        depth: Bits per sample.
        width: Columns of the picture as shown: cropped and upright.
        height: Lines of the picture as shown.
        stored_width: Columns as decoded.
        stored_height: Lines as decoded.
        aspect_ratio: Width of a pixel over its height; scores take pixels as they are.
        fps: Mean frames per second.
        frames: Number of frames that can be decoded.
        seconds: Length of the video.
        range: `limited` or `full`.
        matrix: Colour matrix; `bt2020` means the matrix of non-constant luminance.
        primaries: Colour primaries; they are not converted.
        transfer: Transfer function, `pq` and `hlg` for HDR.
        orientation: Filters that set a frame upright, such as `transpose=clock`.
        crop: Filter that crops what the container hides.
        interlacing: `interlaced`, `telecined` or `progressive`, as the stream says of its first frame.
        streams: Number of video streams.
        notes: Anything else that is unusual, each in a few words.
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


def read_facts(info: VideoInfo) -> Facts | None:
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
        context, frame_times = stream.codec_context, info.frame_times
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
            fps=frame_times.fps,
            frames=frame_times.num_frames,
            seconds=frame_times.duration,
            range=_named(_RANGES, context.color_range),
            matrix=_named({0: "rgb"} | MATRICES | OTHER_MATRICES, context.colorspace),
            primaries=_named(PRIMARIES, context.color_primaries),
            transfer=_named(TRANSFERS, context.color_trc),
            orientation=_filters(info, crop=False),
            crop=_filters(info, crop=True),
            interlacing=next((n for n in info.notes if n in {"interlaced", "telecined"}), "progressive"),
            streams=len(video_streams(container)),
            notes=info.notes,
        )


def bitrate_kbps(info: VideoInfo) -> float:
    """Return the rate of a file's video stream in kb/s: the bits of its packets over its length, without sound.

    Raises:
        ValueError: If no packet can be read.
    """
    try:
        container = open_file(info.path)
    except UnopenableError as error:
        raise ValueError(f"'{info.path}' tells no rate ({error}); give it as `bitrate_kbps` in a table.") from error
    with container, plain_library_errors(info.path):
        stream = video_stream(info.path, container, info.stream if info.decoder == "pyav" else None)
        size = sum(packet.size for packet in container.demux(stream))
    if not size:
        raise ValueError(f"'{info.path}' holds no packet of video; copy or encode it again.")
    return 8 * size / info.frame_times.duration / 1000


def _filters(info: VideoInfo, *, crop: bool) -> str:
    chosen = [(name, arguments) for name, arguments in info.filters if (name == "crop") == crop]
    return ",".join(f"{name}={arguments}" if arguments else name for name, arguments in chosen)


def _named(names: Mapping[int, str], number: Any) -> str:
    """Return the name of an H.273 number; the number as text if it has no name here; empty text for `unspecified`."""
    return names.get(int(number), "" if int(number) in {0, 2} else str(int(number)))
