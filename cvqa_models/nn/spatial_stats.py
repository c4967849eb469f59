"""Statistics of a feature map over its positions."""

from __future__ import annotations

from torch import Tensor


def mean_std(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the unbiased standard deviation over the last two axes of `maps`, shape (..., H, W).

    Raises:
        ValueError: If a map has a single position, which has no deviation.
    """
    height, width = maps.shape[-2:]
    if height * width < 2:
        raise ValueError(
            f"a feature map of {height} x {width} positions has no standard deviation; "
            "give frames of at least 64 pixels on one side and 32 on the other."
        )
    return maps.mean(dim=(-2, -1)), maps.std(dim=(-2, -1))
