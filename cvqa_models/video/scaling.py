"""Convert frames to RGB at a wanted size, almost exactly. Colour is converted only here."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from cvqa_models.video.geometry import Filters
from cvqa_models.video.h273 import FULL_RANGE, LIMITED_RANGE, MATRICES, OTHER_MATRICES
from cvqa_models.video.pixel_rules import Frame, Kernel

# Without the first two flags, swscale takes a shortcut that darkens every picture by more than one level. Without the
# third, it drops the colour of every other column when it scales RGB (stills, screen captures, tone-mapped HDR).
EXACT = "accurate_rnd+full_chroma_int+full_chroma_inp"
BICUBIC = ":param0=0:param1=0.5"  # the kernel of Pillow and torchvision; swscale's own default is sharper
HD_LINES = 720
GRAY = re.compile(r"gray((9|10|12|14|16)le)?")
DEEP = "gbrp16le"
PLANAR = "gbrp"  # gives the same values as packed RGB in half the time


class Scaler:
    """Converts decoded frames to RGB. It keeps one filter graph per kind of frame, size and kernel.

    Transparency is ignored, as in FFmpeg; nothing is laid over a background.

    Args:
        untagged: Colour matrix of streams of 720 lines and more that name none; smaller streams are taken as BT.601.
        filters: FFmpeg filters that crop a frame and set it upright, as (name, arguments).
        tone_table: File for `lut3d` that turns HDR into SDR; None leaves values as they are.
    """

    def __init__(self, untagged: str, filters: Filters = (), tone_table: Path | None = None) -> None:
        self.untagged = untagged
        self.filters = filters
        self.tone_table = tone_table
        self._graphs: dict[tuple[Any, ...], Graph] = {}

    def scale(self, frame: VideoFrame, height: int, width: int, kernel: Kernel) -> Frame:
        """Return `frame` upright as uint8 RGB, shape (height, width, 3)."""
        frame = _with_chroma(frame)
        graph = self._graph(frame, f"{width}:{height}:flags={kernel}+{EXACT}{BICUBIC if kernel == 'bicubic' else ''}")
        graph.push(frame)
        planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in graph.vpull().planes
        ]
        green, blue, red = planes
        return np.stack([red, green, blue]).transpose(1, 2, 0)

    def _graph(self, frame: VideoFrame, scale: str) -> Graph:
        colour = self._colour(frame)
        key = (frame.width, frame.height, frame.format.name, colour, scale)
        if key not in self._graphs:
            graph = Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base or Fraction(1, 1000),
            )
            upright = [graph.add(name, arguments) for name, arguments in self.filters]
            toned = []
            if self.tone_table is not None:
                to_rgb = graph.add("scale", f"flags=bilinear+{EXACT}{colour}")
                toned = [to_rgb, graph.add("format", DEEP), graph.add("lut3d", file=str(self.tone_table))]
                colour = ""
            if frame.format.is_rgb and frame.format.components[0].bits < 8:
                # If swscale converts these directly to planes, it darkens them; to packed RGB, it misreads big-endian
                # ones.
                for name in (frame.format.name.replace("be", "le"), "rgb24"):
                    toned += [graph.add("scale"), graph.add("format", name)]
            scaled = [graph.add("scale", scale + colour), graph.add("format", PLANAR), graph.add("buffersink")]
            graph.link_nodes(source, *upright, *toned, *scaled).configure()
            self._graphs[key] = graph
        return self._graphs[key]

    def _colour(self, frame: VideoFrame) -> str:
        """Return the filter options that state the matrix and range of `frame`; none for RGB."""
        if frame.format.is_rgb:
            return ""
        untagged = self.untagged if frame.height >= HD_LINES else "bt601"
        untagged = "bt2020" if self.tone_table else untagged
        matrix = MATRICES.get(int(frame.colorspace), untagged)
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        return f":in_color_matrix={matrix}:in_range={'full' if full else 'limited'}"


def check_matrix(path: str, frame: VideoFrame) -> None:
    """Check that the colours of a frame can be converted.

    Raises:
        ValueError: If not, with the name of their matrix.
    """
    name = OTHER_MATRICES.get(int(frame.colorspace))
    if name is not None and not frame.format.is_rgb:
        raise ValueError(
            f"'{path}' has {name} colours, which FFmpeg does not convert to RGB; encode it again as BT.709."
        )


def _with_chroma(frame: VideoFrame) -> VideoFrame:
    """Return gray of limited range as 4:2:0 with neutral chroma, because swscale takes all gray as full range."""
    if frame.color_range != LIMITED_RANGE or not GRAY.fullmatch(frame.format.name):
        return frame
    bits = frame.format.components[0].bits
    coloured = VideoFrame(frame.width, frame.height, frame.format.name.replace("gray", "yuv420p"))
    coloured.colorspace, coloured.color_range = frame.colorspace, frame.color_range
    coloured.pts, coloured.time_base = frame.pts, frame.time_base
    size = 1 if bits == 8 else 2
    for index, plane in enumerate(coloured.planes):
        lines = np.full((plane.height, plane.line_size // size), 1 << (bits - 1), np.uint8 if size == 1 else "<u2")
        if index == 0:
            source = np.frombuffer(memoryview(frame.planes[0]), lines.dtype).reshape(frame.height, -1)
            lines[:, : frame.width] = source[:, : frame.width]
        plane.update(lines.tobytes())
    return coloured
