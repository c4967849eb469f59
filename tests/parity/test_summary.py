"""The comparison itself, and the table of deviations."""

from __future__ import annotations

import pytest
import torch

from tests.parity import summary
from tests.parity.summary import assert_close, deviation_table


def test_the_table_shows_the_comparison_nearest_to_its_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "DEVIATIONS", {})
    assert_close(torch.tensor([1.0, 2.0 + 2e-4]), [1.0, 2.0], atol=1e-4, rtol=1e-4)
    assert_close(0.5, 0.5)
    (line,) = deviation_table()
    name, deviation, tolerance = line.rsplit(maxsplit=2)
    assert name == "summary: the_table_shows_the_comparison_nearest_to_its_tolerance"
    assert (float(deviation), float(tolerance)) == (2e-4, 3e-4)
    with pytest.raises(AssertionError):
        assert_close(torch.tensor(float("nan")), 1.0)
    assert "nan" in deviation_table()[0]
