"""The hull of encodes against scipy's, and the ladder along it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from cvqa_models.metrics.convex_hull import ladder, upper_hull


@pytest.mark.parametrize("seed", range(20))
def test_the_hull_is_the_rising_upper_part_of_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rate, quality = rng.uniform(100, 5000, 30), rng.uniform(0, 100, 30)
    hull = upper_hull(rate, quality)
    assert set(hull) <= set(ConvexHull(np.stack([rate, quality], 1)).vertices)
    assert hull[0] == rate.argmin()
    assert hull[-1] == quality.argmax()
    assert (np.diff(rate[hull]) > 0).all()
    slopes = np.diff(quality[hull]) / np.diff(rate[hull])
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all()
    assert (quality <= np.interp(rate, rate[hull], quality[hull]) + 1e-9).all()  # nothing lies above it


def test_of_one_rate_the_best_counts_and_a_line_is_its_ends() -> None:
    assert upper_hull(np.array([100.0, 100, 200]), np.array([5.0, 9, 12])).tolist() == [1, 2]
    assert upper_hull(np.array([100.0, 200, 300]), np.array([1.0, 2, 3])).tolist() == [0, 2]
    assert upper_hull(np.array([7.0]), np.array([1.0])).tolist() == [0]


def test_rungs_of_a_ladder_are_apart_and_hold_both_ends() -> None:
    rate = np.array([100.0, 120, 180, 300, 320, 700, 900])
    rungs = ladder(rate, np.arange(7))
    assert rate[rungs].tolist() == [100, 180, 320, 900]
    assert (rate[rungs][1:] / rate[rungs][:-1] >= 1.5).all()
    assert ladder(rate, np.array([3])).tolist() == [3]
    assert ladder(rate, np.array([3, 4])).tolist() == [3, 4]
    assert ladder(np.array([100.0, 110, 400]), np.arange(3)).tolist() == [0, 2]
