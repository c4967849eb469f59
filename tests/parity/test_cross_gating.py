"""COVER's gate and head against the outputs of its own classes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.nn.cross_gating import SemanticGate
from cvqa_models.nn.map_head import MapHead
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

RECORDED = reference("scgb")


def channels_last(maps: Tensor) -> Tensor:
    """Return (B, D, T, H, W) as (B, T, P, D)."""
    return maps.flatten(3).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("shift", "name"), [(0.0, "out"), (0.5, "out_centred")])
def test_gate(shift: float, name: str) -> None:
    gate = SemanticGate()
    load_exact(gate, official_weights(RECORDED["state_dict"]))
    semantic, feature = (clip([2, 768, 3, 2, 2], seed) - shift for seed in (0, 1))
    with torch.no_grad():
        gated = gate.eval()(channels_last(semantic), channels_last(feature))
    assert_summary(gated.permute(0, 3, 1, 2).reshape(2, 768, 3, 2, 2), RECORDED[name])


def test_head() -> None:
    head, expected = MapHead(), RECORDED["vqa_head"]
    load_exact(head, official_weights(expected["state_dict"]))
    with torch.no_grad():
        scores = head.eval()(channels_last(clip([2, 768, 4, 7, 7], 2) - 0.5))
    assert_summary(scores.view(2, 1, 4, 7, 7), expected["out"])
    assert_close(scores.mean((1, 2)), expected["score_per_item"])
