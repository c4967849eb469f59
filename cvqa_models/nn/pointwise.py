"""Compute layers that treat each position by itself, without their wide hidden layer for a whole clip in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

POSITIONS = 8192  # enough rows for a matrix product to run at full speed


def by_frames(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return `layer(x)`, computed a few frames at a time, from `x` of shape (B, T, H, W, C).

    Args:
        layer: Function that treats each position by itself, such as linear layers with activations.
        x: Map of a clip.
    """
    frames = max(1, POSITIONS // (x.shape[0] * x.shape[2] * x.shape[3]))
    return torch.cat([layer(part) for part in x.split(frames, dim=1)], dim=1)
