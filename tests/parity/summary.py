"""Comparison with recorded summaries, and weights under the key names of the original network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.parity.fill import fill_

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
    ours = torch.as_tensor(ours)
    torch.testing.assert_close(ours, torch.tensor(expected).to(ours), rtol=rtol, atol=atol)


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
