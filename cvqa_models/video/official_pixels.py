"""Pixel rules of authors who scale with Pillow, OpenCV or PyTorch; every pixel is equal to theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Crop, Frame, Offsets, Resize, Size

Floats = npt.NDArray[np.float32]

_ONE = 1 << 11  # OpenCV's weights of 8-bit pictures are whole numbers of this unit


@dataclass(frozen=True)
class OfficialCrop(Crop):
    """The authors' `Crop`: Pillow scales the frame, with its low-pass filter, and torchvision cuts the centre (E-VQA).

    Attributes:
        size: Side of the square.
        short: Short side to which frames are scaled first; None takes `size`.
        random: Whether training draws the place of the square; evaluation takes the centre.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-{self._name}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's own size; `cut` scales it."""
        return height, width

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return the square's top and left in the scaled frame."""
        room = np.array(self._resized(height, width)) - self.size
        if rng is None or not self.random:
            return [np.rint(room / 2).astype(np.int64)] * clips
        return [rng.integers(0, room + 1) for _ in range(clips)]

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the square of the frame, scaled here."""
        return super().cut(self._resize(frame, self._resized(*frame.shape[:2])), offsets)

    @property
    def _name(self) -> str:
        return "pillow"

    def _resized(self, height: int, width: int) -> Size:
        short, longer = self.short or self.size, max(height, width)
        other = int(short * longer / min(height, width))
        return (short, other) if height <= width else (other, short)

    def _resize(self, frame: Frame, size: Size) -> Frame:
        return pillow_bilinear(frame, size)


@dataclass(frozen=True)
class OfficialResize(Resize):
    """The authors' `Resize`: Pillow scales the frame, with its low-pass filter (MinimalisticVQA)."""

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-pillow"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's own size; `cut` scales it."""
        return height, width

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the frame, scaled here."""
        return pillow_bilinear(frame, (self.height, self.width))


@dataclass(frozen=True)
class OfficialOpenCvCrop(OfficialCrop):
    """The authors' `Crop`: OpenCV scales the frame, without a low-pass filter (CompressedVQA-HDR, MinimalisticVQA).

    Attributes:
        size: Side of the square.
        short: Short side to which frames are scaled first; None takes `size`.
        random: Whether training draws the place of the square; evaluation takes the centre.
    """

    @property
    def _name(self) -> str:
        return "opencv"

    def _resized(self, height: int, width: int) -> Size:
        short = self.short or self.size
        return (int(short / width * height), short) if height > width else (short, int(short / height * width))

    def _resize(self, frame: Frame, size: Size) -> Frame:
        return opencv_bilinear(frame, size)


@dataclass(frozen=True)
class OfficialSharedFragments(Fragments):
    """The authors' patches of `Fragments` (E-VQA): random places also in evaluation, shared by all frames of a video.

    PyTorch enlarges a small frame; here the result is rounded to whole levels. The grid still covers only the size
    before enlarging, so the right and lower parts are never seen. The authors' program seeds the draws once for a list
    of videos, so a video's score depends on its place in the list; here every video counts as the first of a list.

    Attributes:
        grid: Rows and columns of cells.
        patch: Side of a patch.
        random: Whether training draws other places in each epoch.
        seed: Seed of the places in evaluation; the authors' programs take 8.
    """

    grid: tuple[int, int] = (12, 12)
    seed: int = 8

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-shared{self.seed}-official"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's own size; `cut` enlarges it."""
        return height, width

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return top and left of each patch, shape (2, rows, columns), the same for every clip."""
        seed = self.seed if rng is None or not self.random else int(rng.integers(2**31))
        generator = torch.Generator().manual_seed(seed)
        corner, room = self._cells(height, width)
        places = [
            torch.randint(high, self.grid, generator=generator)
            if high > 0
            else torch.zeros(self.grid, dtype=torch.int64)
            for high in room.reshape(2).tolist()
        ]
        return [corner + torch.stack(places).numpy()] * clips

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the patches side by side; a frame that is too small is enlarged first."""
        height, width = frame.shape[:2]
        rows, columns = self.output_size(height, width)
        ratio = min(height / rows, width / columns)
        return super().cut(frame if ratio >= 1 else _enlarged(frame, 1 / ratio), offsets)


def _enlarged(frame: Frame, factor: float) -> Frame:
    """Return a frame as PyTorch enlarges it, rounded to whole levels.

    It repeats PyTorch's order and precision step by step. Some values lie so close to the middle between two levels
    that the last bit decides the rounding, and in PyTorch that bit changes with the number of threads and of frames.
    """
    top, bottom, row_weights = _torch_neighbours(frame.shape[0], factor)
    left, right, column_weights = _torch_neighbours(frame.shape[1], factor)
    pixels = frame.astype(np.float32) / np.float32(255) / np.float32(255)  # twice, as the authors do
    first, second = (weights[:, None] for weights in column_weights)
    lines = _weighted(pixels[:, left], first, pixels[:, right], second)
    first, second = (weights[:, None, None] for weights in row_weights)
    larger = _weighted(lines[top], first, lines[bottom], second) * np.float32(255)
    enlarged: Frame = np.rint(larger * np.float32(255)).astype(np.uint8)
    return enlarged


def _torch_neighbours(before: int, factor: float) -> tuple[Offsets, Offsets, tuple[Floats, Floats]]:
    """Return the two pixels between which each place of an enlarged line lies, and their weights."""
    places = np.float32(1 / factor) * (np.arange(int(before * factor), dtype=np.float32) + np.float32(0.5))
    places = np.maximum(places - np.float32(0.5), np.float32(0))
    near = places.astype(np.int64)
    part = places - near.astype(np.float32)
    return near, np.minimum(near + 1, before - 1), (np.float32(1) - part, part)


def _weighted(first: Floats, weight: Floats, second: Floats, other: Floats) -> Floats:
    """Return first x weight + second x other; the first product is not rounded, as in a fused multiply-add."""
    total = first.astype(np.float64) * weight.astype(np.float64) + (second * other).astype(np.float64)
    return total.astype(np.float32)


def pillow_bilinear(frame: Frame, size: Size) -> Frame:
    """Return a frame as Pillow scales it; torchvision uses Pillow for this.

    Args:
        frame: RGB, uint8, shape (H, W, 3).
        size: Height and width of the result.
    """
    from PIL import Image

    height, width = size
    scaled = Image.fromarray(np.ascontiguousarray(frame)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def opencv_bilinear(frame: Frame, size: Size) -> Frame:
    """Return a frame as `cv2.resize` scales it by default: bilinear between four pixels, in whole numbers.

    Args:
        frame: RGB, uint8, shape (H, W, 3).
        size: Height and width of the result.
    """
    height, width = size
    left, right, column_weights = _neighbours(frame.shape[1], width)
    top, bottom, row_weights = _neighbours(frame.shape[0], height)
    first, second = (weights[:, None] for weights in column_weights)
    # Columns first: 8 bits of a level times 11 bits of a weight give 19, of which 15 are kept for the rows.
    lines = frame[:, left] * first + frame[:, right] * second
    first, second = (weights[:, None, None] for weights in row_weights)
    total = ((lines[top] >> 4) * first >> 16) + ((lines[bottom] >> 4) * second >> 16)
    scaled: Frame = (total + 2 >> 2).astype(np.uint8)
    return scaled


def _neighbours(before: int, after: int) -> tuple[Offsets, Offsets, tuple[Offsets, Offsets]]:
    """Return the two pixels between which each place of a scaled line lies, and their weights."""
    places: Floats = ((np.arange(after) + 0.5) * (before / after) - 0.5).astype(np.float32)
    near = np.floor(places).astype(np.int64)
    part = places - near
    weights = np.rint((1 - part) * _ONE).astype(np.int64), np.rint(part * _ONE).astype(np.int64)
    return near.clip(0, before - 1), (near + 1).clip(0, before - 1), weights
