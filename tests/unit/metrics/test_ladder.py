from __future__ import annotations

import math

import numpy as np
import pytest

from cvqa_models.metrics.ladder import ladder_order, rate_errors
from cvqa_models.metrics.pairs import pair_accuracy

LADDER = ["x264"] * 3 + ["vvc"] * 3
GROUP = ["one"] * 6
RATE = np.array([4000.0, 1000, 2000, 500, 1000, 2000])
HUMAN = np.array([3.0, 1, 2, 1, 2, 3])


def test_order_counts_steps_of_each_ladder_by_bitrate() -> None:
    assert ladder_order(LADDER, RATE, HUMAN).share == 1
    order = ladder_order(LADDER, RATE, np.array([3.0, 1, 2, 1, 0, 0]))  # a fall and a tie in the second ladder
    assert (order.right, order.steps) == (2, 4)


def test_order_skips_unknown_and_equal_bitrates() -> None:
    rate = np.array([1000, 1000, 2000, math.nan, 1000, 2000])
    order = ladder_order(LADDER, rate, np.arange(6.0))
    assert (order.right, order.steps) == (2, 2)
    assert math.isnan(ladder_order(["a", "b"], np.ones(2), np.ones(2)).share)


def test_equal_quality_means_equal_bitrates_for_the_same_curves() -> None:
    rows, errors = rate_errors(GROUP, LADDER, RATE, HUMAN, 10 * HUMAN + 3)
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5]
    assert not errors.any()


def test_a_metric_that_favours_one_encoder_by_a_rung_is_off_by_that_rate() -> None:
    # One rung is a factor of two here, so that a shift of one rung is an error of 1.
    shifted = HUMAN + np.array([1, 1, 1, 0, 0, 0])
    rows, errors = rate_errors(GROUP, LADDER, RATE, HUMAN, shifted)
    assert errors == pytest.approx([1, 1, 1, 1])
    # The ends would have to be extrapolated: x264 at its best, vvc at its worst.
    assert sorted(rows.tolist()) == [1, 2, 4, 5]


def test_ladders_of_different_groups_are_not_compared() -> None:
    rows, errors = rate_errors(["one"] * 3 + ["two"] * 3, LADDER, RATE, HUMAN, HUMAN)
    assert (len(rows), len(errors)) == (0, 0)


def test_pairs_are_won_by_the_higher_score_and_a_tie_by_the_first() -> None:
    scores = {"a": 2.0, "b": 1.0, "c": 1.0}
    pairs = [("a", "b", 1), ("b", "a", 1), ("b", "c", 1), ("c", "b", 2)]
    assert pair_accuracy(pairs, scores) == 0.5


def test_bad_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="There are no pairs"):
        pair_accuracy([], {})
    with pytest.raises(ValueError, match="winner of 'a' and 'b' is 3"):
        pair_accuracy([("a", "b", 3)], {"a": 1, "b": 2})
    with pytest.raises(ValueError, match="names 'b', which has no score"):
        pair_accuracy([("a", "b", 1)], {"a": 1})
