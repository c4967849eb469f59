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


def mean_std_without_each(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same over all positions but one, for each position left out, of the shape of `maps`, (..., H, W).

    Raises:
        ValueError: If a map has fewer than three positions, of which two must stay.
    """
    count = maps.shape[-2] * maps.shape[-1]
    if count < 3:
        raise ValueError(
            f"a feature map has {count} positions, so none can be left out; give frames of 96 pixels a side."
        )
    mean = maps.mean(dim=(-2, -1), keepdim=True)
    off = maps - mean
    squares = off.square()
    rest = squares.sum(dim=(-2, -1), keepdim=True) - squares * count / (count - 1)
    return mean - off / (count - 1), (rest.clamp_min(0) / (count - 2)).sqrt()
