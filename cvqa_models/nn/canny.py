"""Canny edges, pixel for pixel those of OpenCV's `Canny` with aperture 3 and the L1 gradient."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

# OpenCV compares gradient directions in fixed point: tan(22.5 deg) * 2^15, rounded.
SHIFT = 15
TAN_22 = 13573


def _gradient(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the horizontal and vertical Sobel derivative, int32, of `images` (M, H, W); borders are repeated."""
    padded = F.pad(images.float().unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1).int()
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    along = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return down[:, :, 2:] - down[:, :, :-2], along[:, 2:] - along[:, :-2]


def _crest(dx: Tensor, dy: Tensor, magnitude: Tensor) -> Tensor:
    """Return where the magnitude is a maximum across the edge, bool (M, H, W); beyond the border it counts as 0."""
    padded = F.pad(magnitude, (1, 1, 1, 1))
    height, width = magnitude.shape[1:]

    def at(row: int, column: int) -> Tensor:
        return padded[:, 1 + row : 1 + row + height, 1 + column : 1 + column + width]

    # The comparison is strict on one side only, so that two equal maxima give one edge; for diagonals on both sides.
    beside = (magnitude > at(0, -1)) & (magnitude >= at(0, 1))
    stacked = (magnitude > at(-1, 0)) & (magnitude >= at(1, 0))
    rising = (magnitude > at(-1, 1)) & (magnitude > at(1, -1))
    falling = (magnitude > at(-1, -1)) & (magnitude > at(1, 1))
    across, scaled = dx.abs().long() * TAN_22, dy.abs().long() << SHIFT
    steep = scaled > across + (dx.abs().long() << (SHIFT + 1))
    diagonal = torch.where((dx ^ dy) < 0, rising, falling)
    return torch.where(scaled < across, beside, torch.where(steep, stacked, diagonal))


def canny(images: Tensor, low: int, high: int) -> Tensor:
    """Return edge maps, uint8 with values 0 and 255, shape (M, H, W), on the device of `images`.

    Args:
        images: Single-channel pictures, uint8, shape (M, H, W).
        low: A maximum above `low` is an edge if a chain of such pixels (8 neighbours) links it to one above `high`.
        high: A maximum above `high` is an edge. Both are compared with |dx| + |dy| of the 3 x 3 Sobel derivatives.
    """
    if images.dtype != torch.uint8 or images.dim() != 3:
        raise ValueError(
            f"`images` is {images.dtype} of shape {tuple(images.shape)}; expected torch.uint8 of shape (M, H, W)."
        )
    dx, dy = _gradient(images)
    magnitude = dx.abs() + dy.abs()
    crest = _crest(dx, dy, magnitude)
    weak = (crest & (magnitude > low)).cpu().numpy()
    strong = (crest & (magnitude > max(low, high))).cpu().numpy()
    # Pixels are neighbours only within an image.
    touching = np.zeros((3, 3, 3), dtype=bool)
    touching[1] = True
    segment, count = ndimage.label(weak, structure=touching)
    kept = np.zeros(count + 1, dtype=np.uint8)
    kept[segment[strong]] = 255
    return torch.from_numpy(kept[segment]).to(images.device)
