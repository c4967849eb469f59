from __future__ import annotations

import math

import numpy as np
import pytest

from cvqa_models.metrics import bootstrap
from cvqa_models.metrics.bootstrap import difference, draw_resamples, interval, resampled, resampled_coefficients
from cvqa_models.metrics.group_score import Thresholds, evaluate, group_table
from cvqa_models.types import Constant


def test_references_are_drawn_with_replacement() -> None:
    drawn = draw_resamples(3, resamples=400, seed=3)
    assert (drawn.sum(1) == 3).all()
    assert drawn.mean(0) == pytest.approx(np.ones(3), abs=0.15)
    np.testing.assert_array_equal(drawn, draw_resamples(3, resamples=400, seed=3))


def repeated(names: np.ndarray, reference: np.ndarray, counts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Group names and rows of a table in which each reference stands as often as it was drawn.

    A group of one reference is repeated as a group; in one of several its videos are.
    """
    group, order = [], []
    for name in np.unique(names):
        inside = np.flatnonzero(names == name)
        alone = len(set(reference[inside])) == 1
        for row in inside:
            for copy in range(int(counts[np.unique(reference).tolist().index(reference[row])])):
                group.append(f"{name}#{copy}" if alone else name)
                order.append(row)
    return group, np.array(order)


@pytest.mark.parametrize("constant", ["zero", "skip"])
@pytest.mark.parametrize("ties", [False, True], ids=["untied", "ties"])
@pytest.mark.parametrize(
    "panel",
    [["a/fast", "b/fast", "c/fast", "d/fast"], ["all", "all", "all", "all"], ["one", "one", "c/fast", "two"]],
    ids=["one reference a group", "one group", "both"],
)
def test_a_resample_is_the_evaluation_of_the_repeated_videos(panel: list[str], ties: bool, constant: Constant) -> None:
    rng = np.random.default_rng(0)
    names, reference = np.repeat(panel, 16), np.repeat(["a", "b", "c", "d"], 16)
    mos = rng.normal(size=64)
    scores = np.stack([mos + rng.normal(size=64), 1e200 * rng.normal(size=64)], axis=1)
    if ties:
        mos, scores = np.round(mos), np.round(2 * scores / scores.max(0))
    scores[:16, 1] = 0  # constant in the first reference
    table = group_table(names.tolist(), mos, scores)
    values = resampled(
        table, names.tolist(), reference.tolist(), mos, scores,
        thresholds=Thresholds(), constant=constant, resamples=12, seed=1,
    )  # fmt: skip
    for row, counts in enumerate(draw_resamples(4, 12, 1)):
        group, order = repeated(names, reference, counts)
        for column in range(2):
            found = evaluate(group, mos[order], scores[order, column], constant=constant)
            expected = [found.srocc, found.plcc, found.krocc, found.result]
            np.testing.assert_allclose(values[:, row, column], expected, atol=1e-9)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    mos, scores, reference = rng.normal(size=40), rng.normal(size=(40, 2)), rng.integers(0, 5, 40)
    drawn = draw_resamples(5, 20)
    expected = resampled_coefficients(mos, scores, reference, drawn)
    monkeypatch.setattr(bootstrap, "PAIRS_AT_ONCE", 300)
    for found, value in zip(resampled_coefficients(mos, scores, reference, drawn), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-12)


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
        draw_resamples(1, 10)
    with pytest.raises(ValueError, match="`resamples` is 0"):
        draw_resamples(2, 0)
