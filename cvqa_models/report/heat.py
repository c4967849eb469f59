"""Heat maps: where in a picture a system sees damage, as a figure and as a short video."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from fractions import Fraction

import av
import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cvqa_models.report.pictures import enlarged
from cvqa_models.report.plots import label_of
from cvqa_models.video.pixel_rules import Frame

COLOURS = "inferno_r"  # a low score is bright; colour-blind people see the same order
SHARE = 0.55  # share of the heat in the colour of a pixel; the rest is the picture
_LUMA = (0.299, 0.587, 0.114)


def span(maps: NDArray[np.float32]) -> tuple[float, float]:
    """Return the scores of the first and last colour: the range of the maps, but at least a tenth of the larger end."""
    low, high = float(maps.min()), float(maps.max())
    room = max(0.0, 0.1 * max(abs(low), abs(high), 1e-3) - (high - low)) / 2
    return low - room, high + room


def heated(picture: Frame, values: NDArray[np.float32], ends: tuple[float, float]) -> Frame:
    """Return a picture in grey, with the heat of each place over it, uint8, of the same shape.

    Args:
        picture: RGB, uint8, (H, W, 3).
        values: Scores of its places, (rows, columns).
        ends: Scores that have the first and last colour.
    """
    large = enlarged(values, *picture.shape[:2])
    colour = colormaps[COLOURS](Normalize(*ends, clip=True)(large))[..., :3]
    grey = (picture @ np.array(_LUMA))[..., None] / 255
    mixed: Frame = (255 * ((1 - SHARE) * grey + SHARE * colour)).round().astype(np.uint8)
    return mixed


def heat_figure(picture: Frame, maps: Mapping[str, NDArray[np.float32]], title: str) -> Figure:
    """Return a frame next to its heat maps, each with a colour bar.

    Args:
        picture: The frame, RGB, uint8, (H, W, 3).
        maps: Name -> scores of its places, (rows, columns).
        title: Title of the figure.
    """
    panels, (height, width) = 1 + len(maps), picture.shape[:2]
    wide = 4.2
    figure = Figure(figsize=(wide * panels, wide * height / width + 0.9), layout="constrained")
    first, *others = np.atleast_1d(figure.subplots(1, panels))
    first.imshow(picture)
    first.set_title("the frame", fontsize=9)
    for axis, (name, values) in zip(others, maps.items(), strict=True):
        ends = span(values)
        axis.imshow(heated(picture, values, ends))
        axis.set_title("bright: where it scores lowest", fontsize=9)
        bar = figure.colorbar(ScalarMappable(Normalize(*ends), COLOURS), ax=axis, orientation="horizontal", pad=0.02)
        bar.set_label(label_of(name.replace("_", " ")), fontsize=9)
        bar.ax.tick_params(labelsize=8)
    for axis in (first, *others):
        axis.set_axis_off()
    figure.suptitle(label_of(title), fontsize=10, parse_math=False)
    return figure


def overlay(
    frames: Iterable[Frame], maps: Iterable[NDArray[np.float32]], ends: tuple[float, float], fps: float
) -> bytes:
    """Return a video, H.264 in MP4, of pictures with heat over them.

    Args:
        frames: Pictures of one size with even sides, RGB, uint8, (H, W, 3).
        maps: Scores of the places of each picture, (rows, columns).
        ends: Scores that have the first and last colour.
        fps: Pictures per second.
    """
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as file:
        rate = Fraction(fps).limit_denominator(1001)
        stream = file.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt, stream.thread_count = "yuv420p", 1  # with one thread, the bytes are the same each time
        for picture, values in zip(frames, maps, strict=True):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            file.mux(stream.encode(av.VideoFrame.from_ndarray(heated(picture, values, ends), format="rgb24")))
        file.mux(stream.encode())
    return target.getvalue()
