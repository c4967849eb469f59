from __future__ import annotations

import math

import numpy as np
import pytest

from cvqa_models.metrics.bootstrap import difference, draw_references, interval
from cvqa_models.metrics.group_score import Thresholds, evaluate, fisher_z, group_table, pooled


def test_all_groups_of_a_reference_are_drawn_together() -> None:
    drawn = draw_references(["a", "b", "a", "c"], resamples=400, seed=3)
    assert (drawn[:, 0] == drawn[:, 2]).all()
    assert (drawn[:, [0, 1, 3]].sum(1) == 3).all()
    assert drawn.mean(0) == pytest.approx(np.ones(4), abs=0.15)
    np.testing.assert_array_equal(drawn, draw_references(["a", "b", "a", "c"], resamples=400, seed=3))


def test_a_resample_is_the_evaluation_of_the_repeated_videos() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(["a/fast", "b/fast", "c/fast"], 16)
    mos = rng.normal(size=48)
    score = mos + rng.normal(size=48)
    table = group_table(group.tolist(), mos, score[:, None])
    drawn = draw_references(["a", "b", "c"], resamples=5, seed=1)
    values = pooled(*fisher_z(table, Thresholds(), "zero"), drawn)
    for row, counts in enumerate(drawn.astype(int)):
        parts = [
            (f"{name}#{copy}", group == name) for name, k in zip(table.names, counts, strict=True) for copy in range(k)
        ]
        names = [name for name, rows in parts for _ in range(rows.sum())]
        order = np.concatenate([np.flatnonzero(rows) for _, rows in parts])
        assert values[3, row, 0] == pytest.approx(evaluate(names, mos[order], score[order]).result)


def test_interval_skips_resamples_without_a_group() -> None:
    assert interval(np.r_[np.arange(1001.0), math.nan]) == pytest.approx((25, 975))
    assert all(math.isnan(end) for end in interval(np.full(3, math.nan)))


def test_a_paired_difference_sees_what_single_intervals_hide() -> None:
    shared = np.random.default_rng(0).normal(size=1000)
    gap = difference(0.71, 0.70, shared + 0.01, shared)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.01, 0.01, 0.01))
    assert gap.probability == 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="needs at least 2; the table has 1"):
        draw_references(["a", "a"], 10)
    with pytest.raises(ValueError, match="`resamples` is 0"):
        draw_references(["a", "b"], 0)
