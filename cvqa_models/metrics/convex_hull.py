"""The convex hull of encodes in several sizes: the best quality of any size at each rate, and a ladder along it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cvqa_models.metrics.correlation import Floats

STEP = 1.5  # ratio of the rates of neighbouring rungs; Apple's authoring rules for HLS ask for 1.5 to 2


def upper_hull(rate: Floats, quality: Floats) -> NDArray[np.int64]:
    """Return the points that no mixture of two others beats, in rising order of rate, shape (h,).

    It is the hull of quality over rate, from the cheapest point to the best one. The rate is not logarithmic, because
    encodes that take turns in time mix their rates, not the logarithms.

    Args:
        rate: Bitrates, positive, any unit, shape (n,), n >= 1; of points with the same rate, the best counts.
        quality: Qualities, larger is better, shape (n,).
    """
    x = np.asarray(rate, dtype=np.float64)
    hull: list[int] = []
    for point in np.lexsort((-quality, x)).tolist():
        if hull and quality[point] <= quality[hull[-1]]:
            continue
        while len(hull) > 1 and _is_below(x, quality, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return np.array(hull, dtype=np.int64)


def _is_below(x: Floats, y: Floats, first: int, middle: int, last: int) -> bool:
    """Return whether the middle point is on or below the line from the first to the last."""
    line = (y[last] - y[first]) * (x[middle] - x[first])
    return bool((y[middle] - y[first]) * (x[last] - x[first]) <= line)


def ladder(rate: Floats, hull: NDArray[np.int64], step: float = STEP) -> NDArray[np.int64]:
    """Return the rungs of a ladder: the best point of a hull, then each point that is at least `step` times cheaper.

    The cheapest point is always a rung; it replaces a rung that is nearer to it than `step` (ours).

    Args:
        rate: Bitrates, shape (n,).
        hull: Points of the hull in rising order of rate.
        step: Smallest ratio of the rates of neighbouring rungs.

    Returns:
        Points in rising order of rate.
    """
    rungs = [int(hull[-1])]
    for point in hull[-2::-1].tolist():
        if rate[rungs[-1]] >= step * rate[point]:
            rungs.append(point)
    cheapest = int(hull[0])
    if rungs[-1] != cheapest:
        rungs[len(rungs) - (len(rungs) > 1) :] = [cheapest]
    return np.array(rungs[::-1], dtype=np.int64)
