"""In what geometry a view shows its frames: scaling, cropping, padding, splicing; uint8 in, uint8 out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from cvqa_models.video.frames import Sampling

Kernel = Literal["bilinear", "bicubic", "area"]
Frame = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Size = tuple[int, int]


class PixelRule(Protocol):
    """Turns frames of any size into the size of a view. All sizes are (height, width) in pixels."""

    @property
    def key(self) -> str:
        """Return the short name of the rule, for cache keys."""
        ...

    @property
    def random(self) -> bool:
        """Return whether training draws at random."""
        ...

    @property
    def kernel(self) -> Kernel:
        """Return the scaling kernel."""
        ...

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the size to which a frame of this size is scaled before `cut`."""
        ...

    def output_size(self, height: int, width: int) -> Size:
        """Return the size of the view for a frame of this size."""
        ...

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return the places to cut for each clip from a frame size; without `rng` always the same ones."""
        ...

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the view, (h, w, 3), of a scaled frame (H, W, 3)."""
        ...


class _Whole:
    """What rules share that cut nothing."""

    random: ClassVar[bool] = False

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return nothing to cut."""
        return [np.zeros(0, dtype=np.int64)] * clips

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the frame."""
        return frame


@dataclass(frozen=True)
class Native(_Whole):
    """Whole frames in their own size; only videos of one size share a batch."""

    kernel: ClassVar[Kernel] = "bilinear"
    key: ClassVar[str] = "native"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's own size."""
        return height, width

    def output_size(self, height: int, width: int) -> Size:
        """Return the frame's own size."""
        return height, width


@dataclass(frozen=True)
class Resize(_Whole):
    """Frames scaled to one size, whatever their aspect ratio."""

    height: int
    width: int
    kernel: Kernel = "bilinear"

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"resize{self.height}x{self.width}{_suffix(self.kernel)}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the one size."""
        return self.height, self.width

    def output_size(self, height: int, width: int) -> Size:
        """Return the one size."""
        return self.height, self.width


@dataclass(frozen=True)
class Fit:
    """Frames scaled to fit a size in their aspect ratio, centred on black."""

    height: int
    width: int
    kernel: Kernel = "bilinear"
    random: ClassVar[bool] = False

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
class Crop:
    """A square out of frames.

    Attributes:
        size: Side of the square.
        short: Short side to which frames are scaled first; None keeps their size, unless it is below `size`.
        random: Whether training draws the place of the square; evaluation takes the centre.
        kernel: Scaling kernel.
    """

    size: int
    short: int | None = None
    random: bool = False
    kernel: Kernel = "bilinear"

    def __post_init__(self) -> None:
        if self.short is not None and self.short < self.size:
            raise ValueError(f"`short` is {self.short}; expected at least the crop's `size`, {self.size}.")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"crop{self.size}of{self.short or 'native'}{_suffix(self.kernel)}{'-random' if self.random else ''}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the size with the short side in its place."""
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


@dataclass(frozen=True)
class Fragments:
    """A grid of native-resolution patches, one from each cell of the frame, spliced together (FAST-VQA).

    A frame smaller than the spliced one is enlarged first.

    Attributes:
        grid: Rows and columns of cells.
        patch: Side of a patch.
        random: Whether training draws the place of a patch in its cell; evaluation takes the centre. The places are
            one draw per clip, so that patches stay aligned over its frames.
        sampling: `official` repeats the authors: random places also in evaluation (there one draw for all videos of
            a size), and for frames that had to be enlarged a grid over the old size, so that their right and lower
            parts are never seen.
    """

    grid: tuple[int, int] = (7, 7)
    patch: int = 32
    random: bool = False
    sampling: Sampling = "even"
    kernel: ClassVar[Kernel] = "bilinear"

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        rows, columns = self.grid
        drawn = "-random" if self.random else ""
        return f"frag{rows}x{columns}x{self.patch}{drawn}{'' if self.sampling == 'even' else '-official'}"

    def output_size(self, height: int, width: int) -> Size:
        """Return the spliced size."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's size, or the least enlargement that holds the grid."""
        h, w = self.output_size(height, width)
        scale = max(1.0, h / height, w / width)
        return (height, width) if scale == 1 else (max(h, round(height * scale)), max(w, round(width * scale)))

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return top and left of each patch, shape (2, rows, columns) per clip."""
        if self.sampling == "even":
            height, width = self.scaled_size(height, width)
        rows, columns = self.grid
        cell = np.array([height // rows, width // columns]).reshape(2, 1, 1)
        corner = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")) * cell
        limit = np.array([height, width]).reshape(2, 1, 1) - self.patch
        room = np.maximum(cell - self.patch, 0)
        if self.sampling == "official":
            seed = 42 if rng is None or not self.random else int(rng.integers(2**31))
            places = _official_places(room.reshape(2).tolist(), self.grid, clips, seed)
        elif rng is None or not self.random:
            places = [np.broadcast_to(room // 2, corner.shape)] * clips
        else:
            places = [rng.integers(0, np.broadcast_to(room, corner.shape) + 1) for _ in range(clips)]
        origin = np.maximum(np.minimum(corner, limit), 0)
        return [origin + place for place in places]

    def cut(self, frame: Frame, offsets: Offsets) -> Frame:
        """Return the patches side by side."""
        rows, columns = self.grid
        side = self.patch
        spliced = np.empty((rows * side, columns * side, 3), dtype=np.uint8)
        for i in range(rows):
            for j in range(columns):
                top, left = offsets[:, i, j]
                patch = frame[top : top + side, left : left + side]
                spliced[i * side : (i + 1) * side, j * side : (j + 1) * side] = patch
        return spliced


def _official_places(room: list[int], grid: tuple[int, int], clips: int, seed: int) -> list[Offsets]:
    """Return the authors' draw, (2, rows, columns) per clip: all rows of all clips first, the last place excluded."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*grid, clips)
    draws = [
        torch.randint(high, shape, generator=generator) if high > 0 else torch.zeros(shape, dtype=torch.int64)
        for high in room
    ]
    return list(torch.stack(draws).permute(3, 0, 1, 2).numpy())


def _suffix(kernel: Kernel) -> str:
    return "" if kernel == "bilinear" else f"-{kernel}"
