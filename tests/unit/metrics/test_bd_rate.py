"""Delta rates against the package `bjontegaard`, and against what follows from their definition."""

from __future__ import annotations

import warnings
from typing import get_args

import bjontegaard
import numpy as np
import pytest

from cvqa_models.metrics.bd_rate import Interpolation, bd_rate, rate_curve

METHODS = get_args(Interpolation)


def random_curve(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    points = int(rng.integers(4, 8))
    rate = 100 * np.cumprod(rng.uniform(1.2, 2.5, points))
    return rate, rng.uniform(20, 40) + np.cumsum(rng.uniform(1, 12, points))


@pytest.mark.parametrize("method", METHODS)
def test_a_hundred_random_curves_agree_with_bjontegaard(method: Interpolation) -> None:
    rng = np.random.default_rng(17)
    compared = 0
    while compared < 100:
        (rate, quality), (other_rate, other_quality) = random_curve(rng), random_curve(rng)
        if max(quality[0], other_quality[0]) >= min(quality[-1], other_quality[-1]):
            continue
        found = bd_rate(rate_curve(rate, quality), rate_curve(other_rate, other_quality), method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = bjontegaard.bd_rate(
                rate, quality, other_rate, other_quality, method=method, require_matching_points=False, min_overlap=0
            )
        assert found.percent == pytest.approx(expected, abs=0.1)
        compared += 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("points", [2, 3, 5])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_rate_scaled_by_a_factor_is_that_factor(method: Interpolation, points: int, factor: float) -> None:
    rate, quality = 100 * 1.7 ** np.arange(points), np.sqrt(np.arange(points) + 1.0)
    found = bd_rate(rate_curve(rate, quality), rate_curve(factor * rate, quality), method)
    assert found.percent == pytest.approx(100 * (factor - 1), abs=1e-9)
    assert found.log2 == pytest.approx(np.log2(factor), abs=1e-9)
    assert (found.low, found.high, found.share, found.crossings) == (quality[0], quality[-1], 1.0, ())


@pytest.mark.parametrize("method", METHODS)
def test_order_units_and_scale_change_nothing_and_the_reverse_is_the_inverse(method: Interpolation) -> None:
    rng = np.random.default_rng(1)
    (rate, quality), (other_rate, _) = random_curve(rng), random_curve(rng)
    other_rate, other_quality = other_rate[:4], quality[0] + np.array([1.0, 5, 9, 14])
    value = bd_rate(rate_curve(rate, quality), rate_curve(other_rate, other_quality), method).percent
    shuffled = rng.permutation(len(rate))
    moved = bd_rate(
        rate_curve(7 * rate[shuffled], 3 * quality[shuffled] - 8),
        rate_curve(7 * other_rate, 3 * other_quality - 8),
        method,
    )
    assert moved.percent == pytest.approx(value, rel=1e-9)
    back = bd_rate(rate_curve(other_rate, other_quality), rate_curve(rate, quality), method).percent
    assert (1 + back / 100) * (1 + value / 100) == pytest.approx(1, rel=1e-9)


def test_the_overlap_is_stated_and_nothing_is_extrapolated() -> None:
    anchor = rate_curve(np.array([100.0, 200, 400]), np.array([10.0, 20, 30]))
    found = bd_rate(anchor, rate_curve(np.array([100.0, 200, 400]), np.array([20.0, 30, 40])))
    assert (found.low, found.high) == (20, 30)
    assert found.share == pytest.approx(1 / 3)
    assert found.percent == pytest.approx(-50)


def test_curves_that_change_places_are_seen_and_curves_that_touch_are_not() -> None:
    rate = np.array([100.0, 200, 400, 800])
    steep, flat = rate_curve(rate, np.array([10.0, 20, 30, 40])), rate_curve(rate, np.array([16.0, 22, 28, 34]))
    (crossing,) = bd_rate(steep, flat).crossings
    assert crossing == pytest.approx(25, abs=0.1)
    barely = rate_curve(rate * np.array([1.005, 1, 1, 0.995]), np.array([10.0, 20, 30, 40]))
    assert bd_rate(steep, barely).crossings == ()


def test_points_that_a_cheaper_one_beats_are_passed_over_and_counted() -> None:
    curve = rate_curve(np.array([400.0, 100, 200, 800, 300]), np.array([29.0, 10, 20, 40, 20]))
    assert curve.rate.tolist() == [100, 200, 400, 800]
    assert curve.passed_over == 1
    dented = rate_curve(np.array([100.0, 200, 400]), np.array([10.0, 8, 20]))
    assert (dented.rate.tolist(), dented.passed_over) == ([100, 400], 1)


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        ([100], [1], "has 1 rate; a curve needs at least 2"),
        ([], [], "has 0 rate"),
        ([-5, 100], [1, 2], "has a rate of -5; expected positive rates"),
        ([0, 100], [1, 2], "has a rate of 0; expected positive"),
        ([float("nan"), float("nan")], [1, 2], "has a rate of nan; expected positive"),
        ([100, 200, 200], [1, 2, 3], "has two points at the rate 200; expected different rates"),
        ([100, 200], [2, 1], "does not rise with the rate"),
        ([100, 200], [2, 2], "does not rise with the rate"),
    ],
)
def test_points_that_are_no_curve_are_refused(rate: list[float], quality: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate_curve(np.array(rate, dtype=float), np.array(quality, dtype=float))


def test_curves_without_a_common_quality_are_refused() -> None:
    low, high = (rate_curve(np.array([1.0, 2]), np.array([start, start + 1.0])) for start in (0, 1))
    with pytest.raises(ValueError, match="has no overlap with the anchor, and nothing is extrapolated"):
        bd_rate(low, high)
