from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvqa_models.metrics.group_score import Official, Thresholds, evaluate

CAP = math.atanh(0.99)


def draw(sizes: list[int], noise: float = 1.0) -> tuple[list[str], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    group = [f"g{k}" for k, n in enumerate(sizes) for _ in range(n)]
    mos = rng.normal(size=len(group))
    return group, mos, mos + noise * rng.normal(size=len(group))


def test_pooled_value_is_the_weighted_mean_of_z() -> None:
    group, mos, score = draw([20, 16, 8, 5])
    names = np.array(group)
    for metric, routine, counted in (
        ("srocc", stats.spearmanr, ["g0", "g1"]),
        ("plcc", stats.pearsonr, ["g0", "g1", "g2"]),
        ("krocc", stats.kendalltau, ["g0", "g1", "g2"]),
    ):
        z = [math.atanh(routine(mos[names == g], score[names == g])[0]) for g in counted]
        mean = np.average(z, weights=[(names == g).sum() for g in counted])
        assert getattr(evaluate(group, mos, score), metric) == pytest.approx(math.tanh(mean))


def test_result_is_the_mean_of_the_three() -> None:
    score = evaluate(*draw([20, 16]))
    assert score.result == pytest.approx((score.srocc + score.plcc + score.krocc) / 3)
    assert score.videos == 36
    assert [(row.group, row.n) for row in score.groups] == [("g0", 20), ("g1", 16)]


def test_a_perfect_order_is_one_and_its_reverse_minus_one() -> None:
    group, mos, _ = draw([20, 16])
    assert evaluate(group, mos, 3 * mos + 1).result == 1
    found = evaluate(group, mos, -mos)
    assert found.result == found.srocc == -1
    assert found.official == Official(1, 1, 1, 1)
    assert found.against == found.counted == ["g0", "g1"]


def test_the_reverse_has_the_same_official_figures_and_the_opposite_signed_ones() -> None:
    group, mos, score = draw([20, 16, 8, 5])
    found, reverse = evaluate(group, mos, score), evaluate(group, mos, -score)
    assert vars(reverse.official) == pytest.approx(vars(found.official))
    for name in ("srocc", "plcc", "krocc", "result"):
        assert getattr(reverse, name) == pytest.approx(-getattr(found, name))
    assert found.counted == ["g0", "g1", "g2"]  # five videos count for nothing


def test_groups_against_the_labels_are_named_where_they_count() -> None:
    group, mos, _ = draw([20, 16, 8, 5])
    score = np.r_[mos[:20], -mos[20:36], mos[36:44], -mos[44:]]
    found = evaluate(group, mos, score)
    assert found.against == ["g1"]
    assert evaluate(group, mos, score, thresholds=Thresholds(5, 5, 5)).against == ["g1", "g3"]
    # The mean of absolute values is not the absolute mean: here coefficients have different signs.
    score = mos.copy()
    score[:20] = -mos[:20]
    mixed = evaluate(group, mos, score)
    assert mixed.srocc < 0 < mixed.plcc + 1
    assert mixed.official.result == pytest.approx((abs(mixed.srocc) + abs(mixed.plcc) + abs(mixed.krocc)) / 3)


@pytest.mark.parametrize("n", [15, 17, 25, 27, 29])
def test_a_perfect_group_takes_the_cap(n) -> None:
    group, mos, score = draw([n, 20])
    score[:n] = mos[:n]
    other = stats.kendalltau(mos[n:], score[n:])[0]
    expected = math.tanh((n * CAP + 20 * math.atanh(other)) / (n + 20))
    assert evaluate(group, mos, score).krocc == pytest.approx(expected)


def test_groups_of_opposite_order_cancel() -> None:
    group, mos, _ = draw([16, 16])
    assert evaluate(group, mos, np.r_[mos[:16], -mos[16:]]).result == pytest.approx(0)


@pytest.mark.parametrize(("constant", "share"), [("zero", 0.5), ("skip", 1.0)])
def test_a_constant_group_counts_as_zero_or_not_at_all(constant, share) -> None:
    group, mos, score = draw([16, 16])
    score[16:] = 0.1
    found = evaluate(group, mos, score, constant=constant)
    alone = evaluate(group[:16], mos[:16], score[:16])
    assert found.plcc == pytest.approx(math.tanh(share * math.atanh(alone.plcc)))
    assert found.unscored == ["g1"]
    assert math.isnan(found.groups[1].plcc)


def test_a_group_with_constant_labels_never_counts() -> None:
    group, mos, score = draw([16, 16])
    alone = evaluate(group[:16], mos[:16], score[:16])
    mos[16:] = 3.3
    found = evaluate(group, mos, score)
    assert found.result == pytest.approx(alone.result)
    assert found.unscored == []


def test_unlabelled_videos_are_left_out() -> None:
    group, mos, score = draw([18, 16])
    used = np.arange(34) > 1
    expected = evaluate(np.array(group)[used].tolist(), mos[used], score[used])
    mos[:2], score[:2] = math.nan, math.nan
    assert evaluate(group, mos, score) == expected


@pytest.mark.parametrize("sizes", [[], [1], [2, 2]])
def test_too_small_groups_give_no_value(sizes) -> None:
    found = evaluate(*draw(sizes))
    assert all(math.isnan(value) for value in (found.srocc, found.plcc, found.krocc, found.result))
    assert found.videos == sum(sizes)


def test_thresholds_decide_which_groups_count() -> None:
    group, mos, score = draw([9, 7])
    assert math.isnan(evaluate(group, mos, score).srocc)
    assert evaluate(group, mos, score, thresholds=Thresholds(srocc=7)).srocc > 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="`min_krocc` is 2; expected at least 3"):
        Thresholds(krocc=2)
    with pytest.raises(ValueError, match="2 groups, 3 `mos` and 3 `score` values"):
        evaluate(["a", "a"], [1, 2, 3], [1, 2, 3])
    with pytest.raises(
        ValueError, match=r"`score` is not finite for 1 of 3 videos \(first: the labelled row 2, in group 'b'\)"
    ):
        evaluate(["a", "b", "b"], [1, 2, 3], [1, math.inf, 3])
    with pytest.raises(ValueError, match=r"`score` is not finite for 2 of 3 videos \(first: the labelled row 1,"):
        evaluate(["a"] * 3, [1, 2, 3], [math.nan, -math.inf, 3])
    with pytest.raises(ValueError, match=r"`mos` is not finite for 1 of 3 videos \(first: the labelled row 3,"):
        evaluate(["a"] * 3, [1, 2, -math.inf], [1, 2, 3])
