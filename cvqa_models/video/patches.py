"""Patches at native resolution, from all over a frame of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvqa_models.video.pixels import Fragments, Offsets, Size

# Generalised golden ratio: its multiples fill a square more evenly than random places do.
_STEP = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True)
class NativePatches(Fragments):
    """A grid of patches that overlap where a frame is too small for them, so that it is never enlarged (ours).

    Only a frame with a side below `patch` is. In evaluation the places differ from clip to clip, always in the same
    way, so that a few clips see most of a picture that stands still.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"native{self.grid[0]}x{self.grid[1]}x{self.patch}{'-random' if self.random else ''}"

    def scaled_size(self, height: int, width: int) -> Size:
        """Return the frame's size, or the least enlargement that holds a patch."""
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
