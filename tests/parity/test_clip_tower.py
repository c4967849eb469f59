"""The image tower of CLIP ViT-L/14, with and without positions, against the outputs of COVER's own copy."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.clip_tower import ClipTower
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_summary, official_weights, reference

RECORDED = reference("clip_visual")
INPUTS = [((2, 3, 112, 112), 0), ((1, 3, 224, 224), 1), ((1, 3, 224, 224), 1)]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return official_weights(RECORDED["state_dict"])


@pytest.mark.parametrize("positions", [False, True])
def test_embedding(weights, positions: bool) -> None:
    tower = ClipTower(side=224 if positions else None)
    load_exact(tower, weights, unused=() if positions else ("positional_embedding",))
    assert (
        sum(parameter.numel() for parameter in tower.parameters()) == RECORDED["params"] - (not positions) * 257 * 1024
    )
    for (shape, seed), case in zip(INPUTS, RECORDED["cases"], strict=True):
        if case["pos_embedding"] == positions:
            with torch.no_grad():
                embedding = tower.eval()(clip(shape, seed) * 4 - 2)
            assert_summary(embedding, case["feature"])
            assert_summary(torch.nn.functional.normalize(embedding, dim=-1), case["normalised"], atol=2e-6)
