"""LIQE's 495 logits against the outputs of its own class, as RQ-VQA calls it."""

from __future__ import annotations

import math

import open_clip
import pytest
import torch

from cvqa_models.branches.liqe import PROMPTS, TEXT_MODEL, Liqe, window_places
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

RECORDED = reference("liqe_clip_vitb32")
OUTPUTS = RECORDED["outputs"]
PLACES = reference("rqvqa_sampling")["liqe_patches"]


@pytest.fixture(scope="module")
def branch() -> Liqe:
    branch = Liqe()
    weights = official_weights([row[:2] for row in RECORDED["state_dict"]])
    assert sum(tensor.numel() for tensor in weights.values()) == RECORDED["params"]
    branch.fill(weights)
    branch.freeze()
    return branch


def test_prompts() -> None:
    assert len(PROMPTS) == 495
    assert PROMPTS[0] == OUTPUTS["text0"]
    assert PROMPTS[494] == OUTPUTS["text494"]
    tokens = open_clip.get_tokenizer(TEXT_MODEL)([PROMPTS[0], PROMPTS[494]]).tolist()
    for row, name in zip(tokens, ("token_ids_text0", "token_ids_text494"), strict=True):
        assert row[: len(OUTPUTS[name])] == OUTPUTS[name]
        assert not any(row[len(OUTPUTS[name]) :])


@pytest.mark.parametrize("size", PLACES)
def test_window_places(size: str) -> None:
    height, width = (int(side) for side in size.split("x"))
    assert [[y // 32, x // 32] for y, x in window_places(height, width)] == PLACES[size]["selected_row_col"]


def test_sentences(branch: Liqe) -> None:
    assert_summary(branch.sentences, OUTPUTS["text_features_normalized"])
    assert_summary(branch.sentences[494], OUTPUTS["text_feature_row494"])


@pytest.mark.parametrize(
    ("shape", "seed", "name"), [((1, 3, 384, 512), 0, "liqe495"), ((1, 3, 224, 288), 3, "few_patch_output")]
)
def test_logits(branch: Liqe, shape, seed: int, name: str) -> None:
    frame = (clip(shape, seed) * 255).view(1, 1, 3, 1, *shape[2:])
    scales = {"liqe495": [(branch.logit_scale.item(), name), (math.log(100), f"{name}_logit_scale100")]}
    for scale, recorded in scales.get(name, [(math.log(100), name)]):
        with torch.no_grad():
            before = branch.logit_scale.clone()
            branch.logit_scale.fill_(scale)
            logits = branch.tokens(frame)[0]
            branch.logit_scale.copy_(before)
        assert_summary(logits, OUTPUTS[recorded], atol=1e-4 * OUTPUTS[recorded]["std"])
        if recorded.endswith("scale100"):
            quality = logits.softmax(1).view(5, -1).sum(1)
            assert_close(quality, OUTPUTS["quality_probs_scale100"])
            assert_close((quality * torch.arange(1, 6)).sum(), OUTPUTS["quality_score_scale100"])
