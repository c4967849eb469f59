"""Mean and deviation of maps, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvqa_models.nn.spatial_stats import mean_std, mean_std_without_each


def test_statistics_are_those_of_numpy() -> None:
    maps = torch.randn(2, 3, 4, 5)
    mean, std = mean_std(maps)
    np.testing.assert_allclose(mean, maps.numpy().mean((-2, -1)), atol=1e-6)
    np.testing.assert_allclose(std, maps.numpy().std((-2, -1), ddof=1), atol=1e-6)


def test_a_single_position_is_refused() -> None:
    with pytest.raises(ValueError, match="1 x 1 positions has no standard deviation; give frames of at least 64"):
        mean_std(torch.zeros(2, 3, 1, 1))


def test_statistics_without_each_position_are_those_of_the_others() -> None:
    maps = 5 + torch.randn(3, 4, 5)
    mean, std = mean_std_without_each(maps)
    for place in range(20):
        others = np.delete(maps.flatten(1).numpy(), place, axis=1)
        np.testing.assert_allclose(mean.flatten(1)[:, place], others.mean(1), rtol=1e-5)
        np.testing.assert_allclose(std.flatten(1)[:, place], others.std(1, ddof=1), rtol=1e-5)
    assert not mean_std_without_each(torch.full((1, 2, 2), 0.1))[1].isnan().any()


def test_two_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="has 2 positions, so none can be left out; give frames of 96 pixels"):
        mean_std_without_each(torch.zeros(2, 3, 1, 2))
