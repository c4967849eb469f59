"""Mean and deviation of maps, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvqa_models.nn.spatial_stats import mean_std


def test_statistics_are_those_of_numpy() -> None:
    maps = torch.randn(2, 3, 4, 5)
    mean, std = mean_std(maps)
    np.testing.assert_allclose(mean, maps.numpy().mean((-2, -1)), atol=1e-6)
    np.testing.assert_allclose(std, maps.numpy().std((-2, -1), ddof=1), atol=1e-6)


def test_a_single_position_is_refused() -> None:
    with pytest.raises(ValueError, match="1 x 1 positions has no standard deviation; give frames of at least 64"):
        mean_std(torch.zeros(2, 3, 1, 1))
