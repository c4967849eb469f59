"""The logistic curve: the published examples, its ends, and numbers that make no curve."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cvqa_models.nn.rescaling import FittedLogistic, Logistic


def test_it_is_the_formula_of_the_authors() -> None:
    raw = torch.tensor([-0.2, 0.1, 0.14759505, 0.3])
    theirs = [1 / (1 + math.exp(-(value - 0.14759505) / 0.03613452)) for value in raw.tolist()]
    torch.testing.assert_close(Logistic(0.14759505, 0.03613452)(raw), torch.tensor(theirs))


def test_four_parameters_and_a_width_of_either_sign() -> None:
    low, high, middle, width = 1.5, 4.5, 2.0, -0.5
    raw = torch.tensor([0.0, 2.0, 3.0])
    theirs = [low + (high - low) / (1 + math.exp(-(value - middle) / abs(width))) for value in raw.tolist()]
    torch.testing.assert_close(Logistic(middle, width, low, high)(raw), torch.tensor(theirs))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [({"width": 0.0}, "`width` of the rescaling is 0"), ({"width": 1.0, "high": math.nan}, "`high` .* is nan")],
)
def test_refuses_what_makes_no_curve(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Logistic(middle=0.0, **numbers)


def saved(values: object, **how: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values), **how)
    return buffer.getvalue()


CLAIM = saved(np.zeros(4)).replace(b"(4,), }" + b" " * 12, b"(400000000000,), }" + b" ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(np.array([print], dtype=object), allow_pickle=True), "no file of `numpy.save` with numbers"),
        (b"PK\x03\x04 an archive", "no file of `numpy.save` with numbers"),
        (b"", "no file of `numpy.save` with numbers"),
        (saved(np.zeros(4))[:-8], "no file of `numpy.save` with numbers"),
        (CLAIM, "no file of `numpy.save` with numbers"),
        (saved(np.zeros(1000)), "it is larger than four numbers are"),
        (saved(np.zeros(5)), r"float64 of shape \(5,\); expected the four finite numbers"),
        (saved([1.0, 0.0, math.nan, 1.0]), "expected the four finite numbers"),
        (saved([1.0, 0.0, 0.0, 0.0]), "the last of them not 0"),
        (saved(["a", "b", "c", "d"]), "expected the four finite numbers"),
    ],
)
def test_a_file_that_is_no_curve(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "curve.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        FittedLogistic().read(path)
