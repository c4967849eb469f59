"""Frames of a video to look at, in a size for a page, and in the colours in which they are scored."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cvqa_models.video.looking import seen_small
from cvqa_models.video.pixel_rules import Frame
from cvqa_models.video.reader import ReadOptions, iter_clips, probe


def pictures(
    path: str | Path, frames: Sequence[int], options: ReadOptions, widest: int = 480
) -> Iterator[tuple[int, Frame]]:
    """Yield (place in `frames`, RGB picture, uint8, (H, W, 3)) of frames of a video, as they are decoded.

    Sides are even. The width is at most `widest` pixels.

    Args:
        path: The video.
        frames: Indices of its frames.
        options: How it is read.
        widest: Largest number of columns of a picture.

    Raises:
        ValueError: If the video cannot be read.
    """
    view = seen_small(probe(path, options), frames, widest)
    for _, place, clip in iter_clips(path, [view], options):
        yield place, clip[:, 0].permute(1, 2, 0).numpy()


def stills(path: str | Path, frames: Sequence[int], options: ReadOptions, widest: int = 480) -> list[Frame]:
    """Return the pictures of some frames in the order of `frames`; see `pictures`."""
    found = dict(pictures(path, frames, options, widest))
    return [found[place] for place in range(len(frames))]


def enlarged(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return a map (rows, columns) enlarged to the size of a picture, (height, width), smooth between the places."""
    return np.asarray(Image.fromarray(values, mode="F").resize((width, height), Image.Resampling.BILINEAR))


def png_of(picture: Frame) -> bytes:
    """Return a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="png")
    return buffer.getvalue()
