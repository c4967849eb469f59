"""Ridge regression with groups, against least squares of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cvqa_models.nn.group_ridge import GroupRidge

GROUP = [group for group in range(6) for _ in range(5)]


@pytest.fixture
def rows() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=rng)
    return x, x @ torch.tensor([1.0, -2.0, 0.5, 0.0]) + 0.1 * torch.randn(30, generator=rng)


def test_groups_of_one_weight_make_usual_ridge_regression(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    found, intercept = GroupRidge(0.2, 1.0).fit(x, y, GROUP)
    # Least squares of numpy on the same rows and one more for each coefficient, which pulls it to 0.
    a, b = (values.double().numpy() for values in (x - x.mean(0), y - y.mean()))
    more = np.sqrt(0.2 * len(a)) * np.eye(4)
    expected = np.linalg.lstsq(np.vstack([a, more]), np.concatenate([b, np.zeros(4)]), rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert intercept == pytest.approx(float((y - x @ found).mean()), abs=1e-5)


def test_without_errors_between_groups_their_means_do_not_count(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    moved = y + 10 * torch.tensor(GROUP)
    ridge = GroupRidge(0.2, 0.0)
    torch.testing.assert_close(ridge.fit(x, y, GROUP)[0], ridge.fit(x, moved, GROUP)[0])
    gap = GroupRidge(0.2, 0.3).fit(x, y, GROUP)[0] - GroupRidge(0.2, 0.3).fit(x, moved, GROUP)[0]
    assert gap.abs().max() > 0.1


def test_a_weight_of_two_is_a_row_twice(rows: tuple[Tensor, Tensor]) -> None:
    x, y = rows
    weight = torch.ones(30)
    weight[3] = 2
    found = GroupRidge().fit(x, y, GROUP, weight)
    twice = GroupRidge().fit(torch.cat([x, x[3:4]]), torch.cat([y, y[3:4]]), [*GROUP, GROUP[3]])
    torch.testing.assert_close(found[0], twice[0])
    assert found[1] == pytest.approx(twice[1])


@pytest.mark.parametrize(
    ("penalty", "between", "message"),
    [
        (0.0, 0.3, "`penalty` is 0.0; expected"),
        (0.3, -1.0, "`between` is -1.0; expected"),
        (float("nan"), 0.3, "penalty"),
    ],
)
def test_refuses_weights_without_meaning(penalty: float, between: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupRidge(penalty, between)
