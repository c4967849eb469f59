"""Comparison with recorded summaries, what it found, and weights under the key names of the original network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.parity.fill import fill_

# File and test -> largest deviation and tolerance of the comparison that came nearest to its tolerance, or passed it.
DEVIATIONS: dict[str, tuple[float, float]] = {}
SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def reference(name: str) -> dict[str, Any]:
    """Return the recorded numbers in `name`.json beside this file."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))


def official_weights(listing: list[tuple[str, list[int]]]) -> dict[str, Tensor]:
    """Return the rule's weights under the names and shapes of a recorded state dict."""
    tensors = {
        key: torch.zeros(shape, dtype=torch.int64 if key.endswith("num_batches_tracked") else torch.float32)
        for key, shape in listing
    }
    fill_(SimpleNamespace(state_dict=lambda: tensors))
    return tensors


def assert_close(ours: Tensor | float, expected: list[float] | float, atol: float = 1e-5, rtol: float = 1e-4) -> None:
    """Assert agreement within the tolerance of the recorded files, which hold six digits."""
    ours = torch.as_tensor(ours).detach()
    theirs = torch.tensor(expected).to(ours)
    if ours.shape == theirs.shape:
        _record((ours - theirs).abs().flatten().double(), atol + rtol * theirs.abs().flatten().double())
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


def _record(difference: Tensor, tolerance: Tensor) -> None:
    test = os.environ["PYTEST_CURRENT_TEST"].partition("[")[0].partition(" ")[0].rpartition("/")[2]
    at = (difference / tolerance).argmax()
    found = difference[at].item(), tolerance[at].item()
    if test not in DEVIATIONS or not found[0] / found[1] <= DEVIATIONS[test][0] / DEVIATIONS[test][1]:
        DEVIATIONS[test] = found


def deviation_table() -> list[str]:
    """Return the lines of a table of all comparisons so far: network and test, largest deviation, tolerance."""
    rows = [
        (test.removeprefix("test_").replace(".py::test_", ": "), f"{deviation:.1e}", f"{tolerance:.1e}")
        for test, (deviation, tolerance) in sorted(DEVIATIONS.items())
    ]
    return [f"{test:<76}{deviation:>12}{tolerance:>12}" for test, deviation, tolerance in rows]


def assert_summary(ours: Tensor, expected: dict[str, Any], atol: float = 1e-5, rtol: float = 1e-4) -> None:
    """Assert that shape, first and last entries, mean and deviation of `ours` are the recorded ones."""
    assert list(ours.shape) == expected["shape"]
    flat = ours.detach().flatten()
    if "first16" in expected:
        assert_close(flat[:16], expected["first16"], atol, rtol)
    if "last4" in expected:
        assert_close(flat[-4:], expected["last4"], atol, rtol)
    assert_close(flat.mean(), expected["mean"], atol, rtol)
    assert_close(flat.std(correction=0), expected["std"], atol, rtol)
