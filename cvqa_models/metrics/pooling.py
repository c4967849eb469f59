"""Make one number of a value per frame: the mean, and numbers that show the bad frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

PERCENTILES = (1, 5, 10)


def pooled(values: ArrayLike, weights: ArrayLike) -> dict[str, float]:
    """Return the mean, harmonic mean, minimum, maximum and low percentiles of values, each counted `weights` times.

    `min`, `max`, `mean` and `harmonic_mean` are defined as in libvmaf. The harmonic mean is computed of the values plus
    1, and 1 is subtracted from the result, so that a single 0 does not make it 0; it is NaN if a value is -1 or less.
    `p5` is the value below which 5 % of the frames lie, interpolated linearly, as in NumPy and Netflix's Python tools.

    Args:
        values: A number per part, shape (N,); NaN if it has none.
        weights: Number of frames of each part, whole numbers, shape (N,).

    Returns:
        Name -> number; all are NaN if there is no value.
    """
    every = np.repeat(np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.int64))
    every = every[~np.isnan(every)]
    names = ["mean", "harmonic_mean", "min", "max", *(f"p{one}" for one in PERCENTILES)]
    if not len(every):
        return dict.fromkeys(names, float("nan"))
    harmonic = 1 / (1 / (every + 1)).mean() - 1 if every.min() > -1 else float("nan")
    low = np.percentile(every, PERCENTILES)
    return dict(zip(names, map(float, [every.mean(), harmonic, every.min(), every.max(), *low]), strict=True))
