from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cvqa_models.metrics import correlation
from cvqa_models.metrics.correlation import coefficients

TRUTH = {"srocc": stats.spearmanr, "plcc": stats.pearsonr, "krocc": stats.kendalltau}


def draw(n: int, columns: int = 4, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(n).normal(size=(n, columns + 1))
    values = np.round(2 * values) if ties else values
    return values[:, 0], values[:, 1:]


@pytest.mark.parametrize("ties", [False, True], ids=["untied", "ties"])
@pytest.mark.parametrize("n", [5, 12, 27, 60])
def test_equal_to_scipy(n, ties) -> None:
    mos, scores = draw(n, ties=ties)
    found = coefficients(mos, scores)
    for name, routine in TRUTH.items():
        truth = [routine(mos, scores[:, k])[0] for k in range(scores.shape[1])]
        np.testing.assert_allclose(getattr(found, name), truth, atol=1e-12)


@pytest.mark.parametrize("n", range(2, 31))
def test_perfect_order_is_exactly_one(n) -> None:
    mos = np.sort(np.random.default_rng(n).normal(size=n))
    found = coefficients(mos, np.stack([np.exp(mos), -(mos**3)], axis=1))
    assert found.srocc.tolist() == [1, -1]
    assert found.krocc.tolist() == [1, -1]


def test_constant_columns_are_undefined() -> None:
    mos, scores = draw(9)
    scores[:, 1] = 0.1
    for values in coefficients(mos, scores):
        assert np.isnan(values).tolist() == [False, True, False, False]
    for values in coefficients(np.full(9, 0.1), scores):
        assert np.isnan(values).all()


def test_affine_changes_do_not_matter() -> None:
    mos, scores = draw(14)
    for found, expected in zip(coefficients(3 * mos - 8, 1e-3 * scores + 5), coefficients(mos, scores), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e307, 5e-310, -1e200])
@pytest.mark.parametrize("ties", [False, True], ids=["untied", "ties"])
def test_scale_does_not_matter(scale: float, ties: bool) -> None:
    mos, scores = draw(14, ties=ties)
    for scaled in (coefficients(scale * mos, scores), coefficients(mos, scale * scores)):
        for found, expected in zip(scaled, coefficients(mos, scores), strict=True):
            np.testing.assert_allclose(found, np.sign(scale) * expected, atol=1e-9)


def exact(x: list[float], y: list[float]) -> tuple[float, float, float]:
    """Spearman, Pearson, Kendall by fractions, which neither round nor overflow; NaN where one is constant."""

    def sign(a: Fraction, b: Fraction) -> int:
        return (a > b) - (a < b)

    def pearson(x: list[Fraction], y: list[Fraction]) -> float:
        n = len(x)
        a, b = [v - sum(x) / n for v in x], [v - sum(y) / n for v in y]
        xy, xx, yy = (sum(p * q for p, q in zip(*pair, strict=True)) for pair in ((a, b), (a, a), (b, b)))
        return math.nan if not xx * yy else math.sqrt(xy * xy / (xx * yy)) * (1 if xy > 0 else -1)

    a, b = [Fraction(v) for v in x], [Fraction(v) for v in y]
    ranks = [[Fraction(sum(sign(v, w) for w in values)) for v in values] for values in (a, b)]
    pairs = [(sign(a[i], a[j]), sign(b[i], b[j])) for i in range(len(a)) for j in range(i)]
    size = math.sqrt(sum(s != 0 for s, _ in pairs) * sum(t != 0 for _, t in pairs))
    return pearson(*ranks), pearson(a, b), sum(s * t for s, t in pairs) / size if size else math.nan


finite = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1.0, 5e-324, 1e-200, 1e200, -1e308])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=7))
def test_equal_to_exact_fractions_whatever_the_values(pairs: list[tuple[float, float]]) -> None:
    x, y = (list(values) for values in zip(*pairs, strict=True))
    found = coefficients(np.array(x), np.array(y)[:, None])
    truth = exact(x, y)
    assert [found.srocc[0], found.krocc[0]] == pytest.approx([truth[0], truth[2]], abs=1e-12, nan_ok=True)
    assert found.plcc[0] == pytest.approx(truth[1], abs=1e-9, nan_ok=True)


def test_blocks_of_rows_change_nothing(monkeypatch) -> None:
    mos, scores = draw(40, ties=True)
    expected = coefficients(mos, scores)
    monkeypatch.setattr(correlation, "_SIGNS_AT_ONCE", 500)
    for found, value in zip(coefficients(mos, scores), expected, strict=True):
        np.testing.assert_allclose(found, value, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1])
def test_less_than_two_videos_are_undefined(n) -> None:
    for values in coefficients(np.zeros(n), np.zeros((n, 3))):
        assert np.isnan(values).all()


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have shapes \(4,\) and \(5, 1\)"):
        coefficients(np.zeros(4), np.zeros((5, 1)))


@pytest.mark.parametrize("ties", [False, True], ids=["untied", "ties"])
def test_a_large_group_is_sorted_and_gives_the_same_bits_as_all_pairs(ties: bool, monkeypatch) -> None:
    mos, scores = draw(1100, ties=ties)
    scores[:, 1], scores[:, 2] = mos, 0.5
    by_sorting = coefficients(mos, scores)
    monkeypatch.setattr(correlation, "_SORTED", 2000)
    np.testing.assert_array_equal(by_sorting, coefficients(mos, scores))
    np.testing.assert_allclose(by_sorting.krocc[0], stats.kendalltau(mos, scores[:, 0])[0], atol=1e-12)


@pytest.mark.parametrize("columns", [1, 2, 7])
def test_groups_together_have_the_bits_that_each_has_alone(columns: int) -> None:
    rng = np.random.default_rng(0)
    mos, scores = rng.normal(size=(5, 18)), rng.normal(size=(5, 18, columns))
    together = correlation.coefficients_of_groups(mos, scores)
    for index in range(5):
        for whole, alone in zip(together, coefficients(mos[index], scores[index]), strict=True):
            assert whole[index].tolist() == alone.tolist()
