"""Pixel rules: how the frames of a view are scaled, cropped, padded or cut to patches; uint8 in, uint8 out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cvqa_models.video.frame_rules import check_positive

Kernel = Literal["bilinear", "bicubic", "area"]
Frame = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Size = tuple[int, int]


class PixelRule(ABC):
    """Turns frames of any size into the size of a view. All sizes are (height, width) in pixels.

    The rules are frozen dataclasses, so that a configuration can name and fill them.
    """

    @property
    @abstractmethod
    def key(self) -> str:
        """Return the short name of the rule, for cache keys."""

    @property
    def random(self) -> bool:
        """Return whether training draws at random."""
        return False

    @property
    def aligned(self) -> int | None:
        """Return how many frames in a row are cut at the same places; None for all frames of a clip."""
        return None

    @property
    def kernel(self) -> Kernel:
        """Return the scaling kernel."""
        return "bilinear"

    @abstractmethod
    def scaled_size(self, height: int, width: int) -> Size:
        """Return the size to which a frame of this size is scaled before `cut`."""

    @abstractmethod
    def output_size(self, height: int, width: int) -> Size:
        """Return the size of the view for a frame of this size."""

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return the places to cut for each clip, given the frame size; without `rng` they are always the same.

        If `aligned` splits clips into parts, `clips` counts the parts.
        """
        return [np.zeros(0, dtype=np.int64)] * clips

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the view, (h, w, 3), of a scaled frame (H, W, 3)."""
        return frame


@dataclass(frozen=True)
class Native(PixelRule):
    """Whole frames in their own size; only videos of the same size can share a batch."""

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "native"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's own size."""
        return height, width

    def output_size(self, height: int, width: int) -> Size:
        """Return the frame's own size."""
        return height, width


@dataclass(frozen=True)
class Resize(PixelRule):
    """Frames scaled to a fixed size; their aspect ratio is not kept."""

    height: int
    width: int
    kernel: Kernel = "bilinear"

    def __post_init__(self) -> None:
        check_positive(self, "height", "width")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"resize{self.height}x{self.width}{_suffix(self.kernel)}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the fixed size."""
        return self.height, self.width

    def output_size(self, height: int, width: int) -> Size:
        """Return the fixed size."""
        return self.height, self.width


@dataclass(frozen=True)
class Fit(PixelRule):
    """Frames scaled to fit into a size with their aspect ratio kept, centred on black."""

    height: int
    width: int
    kernel: Kernel = "bilinear"

    def __post_init__(self) -> None:
        check_positive(self, "height", "width")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"fit{self.height}x{self.width}{_suffix(self.kernel)}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the largest size in the frame's aspect ratio that fits."""
        scale = min(self.height / height, self.width / width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def output_size(self, height: int, width: int) -> Size:
        """Return the size with its borders."""
        return self.height, self.width

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return the border above and on the left."""
        h, w = self.scaled_size(height, width)
        return [np.array([(self.height - h) // 2, (self.width - w) // 2])] * clips

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the frame with its borders."""
        if frame.shape[:2] == (self.height, self.width):
            return frame
        padded = np.zeros((self.height, self.width, 3), dtype=np.uint8)
        top, left = offsets
        padded[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
        return padded


@dataclass(frozen=True)
class Crop(PixelRule):
    """A square cut out of each frame.

    Attributes:
        size: Side of the square.
        short: Length of the short side to which frames are scaled first; None keeps their size, unless it is below
            `size`.
        random: Whether training draws the place of the square at random; evaluation takes the centre.
        kernel: Scaling kernel.
    """

    size: int
    short: int | None = None
    random: bool = False
    kernel: Kernel = "bilinear"

    def __post_init__(self) -> None:
        check_positive(self, "size")
        if self.short is not None and self.short < self.size:
            raise ValueError(f"`short` is {self.short}; expected at least the crop's `size`, {self.size}.")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"crop{self.size}of{self.short or 'native'}{_suffix(self.kernel)}{'-random' if self.random else ''}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the size of the frame after its short side is scaled."""
        short = self.short or max(self.size, min(height, width))
        if height <= width:
            return short, max(short, int(short / height * width))
        return max(short, int(short / width * height)), short

    def output_size(self, height: int, width: int) -> Size:
        """Return the square's size."""
        return self.size, self.size

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return the square's top and left."""
        room = np.array(self.scaled_size(height, width)) - self.size
        if rng is None or not self.random:
            return [room // 2] * clips
        return [rng.integers(0, room + 1) for _ in range(clips)]

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the square."""
        top, left = offsets
        return frame[top : top + self.size, left : left + self.size]


def _suffix(kernel: Kernel) -> str:
    return "" if kernel == "bilinear" else f"-{kernel}"
