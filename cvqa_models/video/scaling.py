"""Frames to RGB at a wanted size, near exact: the only place where colour is converted."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

from cvqa_models.video.pixels import Frame, Kernel

# Without both, swscale takes a shortcut that darkens every picture by more than one level.
EXACT = "accurate_rnd+full_chroma_int"
BICUBIC = ":param0=0:param1=0.5"  # the kernel of Pillow and torchvision; swscale's own default is sharper
MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}  # by H.273 number
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
HD_LINES = 720
PLANAR = "gbrp"  # the same values as packed RGB in half the time


class Scaler:
    """Converts decoded frames to RGB; one filter graph per kind of frame, size and kernel is kept.

    Args:
        untagged: Colour matrix of streams of 720 lines and more that name none; smaller ones are taken as BT.601.
    """

    def __init__(self, untagged: str) -> None:
        self.untagged = untagged
        self._graphs: dict[tuple[Any, ...], Graph] = {}

    def scale(self, frame: VideoFrame, height: int, width: int, kernel: Kernel) -> Frame:
        """Return `frame` upright as uint8 RGB, shape (height, width, 3)."""
        if frame.rotation % 180:
            height, width = width, height
        graph = self._graph(frame, f"{width}:{height}:flags={kernel}+{EXACT}{BICUBIC if kernel == 'bicubic' else ''}")
        graph.push(frame)
        planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in graph.vpull().planes
        ]
        green, blue, red = planes
        picture = np.stack([red, green, blue]).transpose(1, 2, 0)
        return np.rot90(picture, frame.rotation // 90) if frame.rotation else picture

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
            graph.link_nodes(
                source, graph.add("scale", scale + colour), graph.add("format", PLANAR), graph.add("buffersink")
            ).configure()
            self._graphs[key] = graph
        return self._graphs[key]

    def _colour(self, frame: VideoFrame) -> str:
        """Return the options that state matrix and range of `frame`; none for RGB."""
        if frame.format.is_rgb:
            return ""
        untagged = self.untagged if frame.height >= HD_LINES else "bt601"
        matrix = MATRICES.get(int(frame.colorspace), untagged)
        full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
        return f":in_color_matrix={matrix}:in_range={'full' if full else 'limited'}"
