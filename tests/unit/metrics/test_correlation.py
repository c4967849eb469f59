from __future__ import annotations

import numpy as np
import pytest
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
