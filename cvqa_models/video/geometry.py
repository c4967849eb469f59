"""Find which part of a decoded frame is shown, and in which orientation, from container and stream, as FFmpeg does."""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction
from typing import cast

from av.error import FFmpegError
from av.filter import Graph
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame

Filters = tuple[tuple[str, str], ...]

_CROPPING = re.compile(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)")
NEWER_TYPES = 12  # how many types of side data may be missing in PyAV's list because they are newer
_TOLERANCE = 1.0  # degrees; FFmpeg's own


def shown(path: str, first: VideoFrame, description: str) -> tuple[Filters, int, int]:
    """Return the filters that crop a stream and set it upright, and the height and width of the result.

    The orientation of the first frame holds for the whole stream, because encoders repeat the message only now and
    then.

    Args:
        path: The file, for messages.
        first: First frame of the stream.
        description: FFmpeg's text about the stream, which holds the cropping of MP4 (`clap`) and Matroska.

    Raises:
        ValueError: If the angle is not a multiple of 90 degrees, or the cropping leaves no picture.
    """
    filters = _cropping(description) + _turning(path, first)
    if not filters:
        return (), first.height, first.width
    try:
        graph = Graph()
        start = graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base or Fraction(1, 1000)
        )
        nodes = [graph.add(name, arguments) for name, arguments in filters]
        graph.link_nodes(start, *nodes, graph.add("buffersink")).configure()
        graph.push(first)
        picture = graph.vpull()
    except (FFmpegError, ValueError) as error:
        told = ", ".join(f"{name} {arguments}".strip() for name, arguments in filters)
        raise ValueError(
            f"'{path}' cannot be shown as its container says ({told} of {first.width}x{first.height}); write the "
            "container again."
        ) from error
    return filters, picture.height, picture.width


def side_data(frame: VideoFrame, name: str) -> bytes | None:
    """Return the side data of a frame with PyAV's name for its type, None if the frame has none.

    PyAV fails on types that are newer than its list, such as the EXIF of photographs, so these are removed first.
    """
    try:
        found = frame.side_data.get(name)
    except ValueError:
        graph = Graph()
        start = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        newer = range(len(Type), len(Type) + NEWER_TYPES)
        off = [graph.add("sidedata", f"mode=delete:type={number}") for number in newer]
        graph.link_nodes(start, *off, graph.add("buffersink")).configure()
        graph.push(frame)
        found = graph.vpull().side_data.get(name)
    return None if found is None else bytes(cast(SideData, found))


def _cropping(description: str) -> Filters:
    found = _CROPPING.search(description)
    if found is None:
        return ()
    left, right, top, bottom = map(int, found.groups())
    return (
        (("crop", f"w=iw-{left + right}:h=ih-{top + bottom}:x={left}:y={top}"),)
        if any((left, right, top, bottom))
        else ()
    )


def _turning(path: str, first: VideoFrame) -> Filters:
    """Return the filters of the ffmpeg program for a frame's display matrix."""
    message = side_data(first, "DISPLAYMATRIX")
    if message is None:
        return ()
    a, b, _, c, d, *_ = struct.unpack("=9i", message)
    if math.hypot(a, c) == 0 or math.hypot(b, d) == 0:
        return ()
    angle = round(math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))) % 360
    if abs(angle - 90) < _TOLERANCE:
        return (("transpose", "cclock_flip" if c > 0 else "clock"),)
    if abs(angle - 180) < _TOLERANCE:
        flips = {"hflip": a < 0, "vflip": d < 0}
        return tuple((name, "") for name, wanted in flips.items() if wanted)
    if abs(angle - 270) < _TOLERANCE:
        return (("transpose", "clock_flip" if c < 0 else "cclock"),)
    if angle > _TOLERANCE:  # FFmpeg also turns the picture for angles above 359 degrees
        raise ValueError(
            f"'{path}' is to be shown turned by {angle} degrees; only multiples of 90 degrees can be compared: turn it "
            "with ffmpeg's filter `rotate` and encode it again."
        )
    return (("vflip", ""),) if d < 0 else ()
