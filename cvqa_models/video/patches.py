"""Patches at native resolution, spread over a frame of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cvqa_models.video.frame_rules import check_positive
from cvqa_models.video.pixel_rules import Frame, Offsets, PixelRule, Size

# Generalised golden ratio: its multiples fill a square more evenly than random places.
_STEP = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True)
class Fragments(PixelRule):
    """A grid of native-resolution patches, one from each cell of the frame, spliced together (FAST-VQA).

    A frame smaller than the spliced one is enlarged first.

    Attributes:
        grid: Rows and columns of cells.
        patch: Side of a patch.
        random: Whether training draws the place of a patch in its cell at random; evaluation takes the centre.
        aligned: Number of frames in a row in which patches keep their places; null for all frames of a clip.
    """

    grid: tuple[int, int] = (7, 7)
    patch: int = 32
    random: bool = False
    aligned: int | None = None

    def __post_init__(self) -> None:
        check_positive(self, "patch", "aligned")
        if min(self.grid) < 1:
            raise ValueError(f"`grid` of {type(self).__name__} is {list(self.grid)}; expected two numbers above 0.")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"frag{self._shape}{self._draws}"

    @property
    def _shape(self) -> str:
        return f"{self.grid[0]}x{self.grid[1]}x{self.patch}"

    @property
    def _draws(self) -> str:
        return f"{'-random' if self.random else ''}{'' if self.aligned is None else f'-aligned{self.aligned}'}"

    def output_size(self, height: int, width: int) -> Size:
        """Return the spliced size."""
        return self.grid[0] * self.patch, self.grid[1] * self.patch

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's size, or the smallest enlarged size that holds the grid."""
        h, w = self.output_size(height, width)
        scale = max(1.0, h / height, w / width)
        return (height, width) if scale == 1 else (max(h, round(height * scale)), max(w, round(width * scale)))

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return top and left of each patch, shape (2, rows, columns) per clip."""
        corner, room = self._cells(*self.scaled_size(height, width))
        if rng is None or not self.random:
            return [corner + room // 2] * clips
        return [corner + rng.integers(0, np.broadcast_to(room, corner.shape) + 1) for _ in range(clips)]

    def _cells(self, height: int, width: int) -> tuple[Offsets, Offsets]:
        """Return the first place of a patch in each cell, (2, rows, columns), and how far it can move, (2, 1, 1)."""
        rows, columns = self.grid
        cell = np.array([height // rows, width // columns]).reshape(2, 1, 1)
        corner = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")) * cell
        limit = np.array([height, width]).reshape(2, 1, 1) - self.patch
        return np.maximum(np.minimum(corner, limit), 0), np.maximum(cell - self.patch, 0)

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


@dataclass(frozen=True)
class OfficialFragments(Fragments):
    """The authors' patches of `Fragments`: random places also in evaluation, then the same for all videos of one size.

    For frames that are enlarged, the grid covers only the old size, so their right and lower parts are never seen.

    Attributes:
        grid: Rows and columns of cells.
        patch: Side of a patch.
        random: Whether training draws other places in each epoch.
        aligned: As for `Fragments`.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-official"

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return top and left of each patch, shape (2, rows, columns) per clip."""
        corner, room = self._cells(height, width)
        seed = 42 if rng is None or not self.random else int(rng.integers(2**31))
        return [corner + place for place in _official_places(room.reshape(2).tolist(), self.grid, clips, seed)]


@dataclass(frozen=True)
class NativePatches(Fragments):
    """A grid of patches that overlap if a frame is too small for them, so that it need not be enlarged (ours).

    Only a frame with a side shorter than `patch` is enlarged. In evaluation the places differ from clip to clip, in a
    fixed way, so that a few clips together see most of a still picture. Patch k (counted over all clips, and by rows in
    each) has its top at (row + (0.5 + 0.7548776662466927 k) mod 1) (height - patch + 1) / rows, and its left at (column
    + (0.5 + 0.5698402909980532 k) mod 1) (width - patch + 1) / columns, rounded down.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"native{self._shape}{self._draws}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's size, or the smallest enlarged size that holds a patch."""
        scale = max(1.0, self.patch / height, self.patch / width)
        return max(self.patch, round(height * scale)), max(self.patch, round(width * scale))

    def draw(self, height: int, width: int, clips: int, rng: np.random.Generator | None) -> list[Offsets]:
        """Return top and left of each patch, shape (2, rows, columns) per clip."""
        rows, columns = self.grid
        room = (np.array(self.scaled_size(height, width)) - self.patch + 1).reshape(2, 1, 1)
        cell = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
        if rng is not None and self.random:
            places = rng.random((clips, 2, rows, columns))
        else:
            order = np.arange(clips * rows * columns).reshape(clips, 1, rows, columns)
            places = (0.5 + order * _STEP.reshape(2, 1, 1)) % 1
        return list(((cell + places) * room / np.array(self.grid).reshape(2, 1, 1)).astype(np.int64))


def _official_places(room: list[int], grid: tuple[int, int], clips: int, seed: int) -> list[Offsets]:
    """Return the authors' draw, (2, rows, columns) per clip: all rows of all clips first; the last place excluded."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*grid, clips)
    draws = [
        torch.randint(high, shape, generator=generator) if high > 0 else torch.zeros(shape, dtype=torch.int64)
        for high in room
    ]
    return list(torch.stack(draws).permute(3, 0, 1, 2).numpy())
