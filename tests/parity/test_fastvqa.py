"""FAST-VQA's backbone, with windows that adapt to the input, against its authors' own outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.fastvqa import FastVqa
from cvqa_models.nn.map_head import MapHead
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_summary, official_weights, reference

RECORDED = reference("fastvqa_swin3d")
INPUTS = {"small": ((1, 3, 8, 64, 64), 0), "mid": ((1, 3, 16, 128, 128), 1), "full": ((1, 3, 32, 224, 224), 2)}


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> FastVqa:
    """Return the branch with a checkpoint laid out as the published one."""
    listing = [(f"fragments_backbone.{key}", shape) for key, shape, *_ in RECORDED["state_dict"]]
    unprefixed = official_weights([row[:2] for row in RECORDED["state_dict"]])
    weights = {key: unprefixed[key.removeprefix("fragments_backbone.")] for key, _ in listing}
    index = Swin3D(depths=(1,), heads=(1,), dim=4).layers[0].blocks[0].attn.relative_position_index
    weights |= {key: index for key in weights if key.endswith("position_index")}
    weights |= {f"vqa_head.{key}": torch.zeros(shape) for key, shape in RECORDED["head_state_dict"]}
    path: Path = tmp_path_factory.mktemp("weights") / "fastvqa.pth"
    torch.save({"state_dict": weights}, path)
    branch = FastVqa(str(path))
    branch.freeze()
    return branch


def normalised(branch: FastVqa, size: str) -> Tensor:
    """Return the recorded input; the authors normalise what `clip` gives times 255."""
    return branch.normalise(clip(*INPUTS[size]) * 255)


@pytest.mark.parametrize("size", INPUTS)
def test_map(branch: FastVqa, size: str) -> None:
    with torch.no_grad():
        maps = branch.net(normalised(branch, size))
    assert_summary(maps, RECORDED["outputs"][f"{size}_map"], atol=1e-4)
    if size == "full":
        head = MapHead()
        load_exact(head, official_weights(RECORDED["head_state_dict"]))
        with torch.no_grad():
            scores = head.eval()(maps.flatten(3).permute(0, 2, 3, 1))
        assert_summary(scores.view(1, 1, 16, 7, 7), RECORDED["outputs"]["full_head_map"], atol=1e-4)


def test_tokens_are_the_pooled_map(branch: FastVqa) -> None:
    x = clip(*INPUTS["mid"]) * 255
    with torch.no_grad():
        tokens = branch.tokens(x.unsqueeze(1))
    assert_summary(tokens[0], RECORDED["outputs"]["mid_pooled_768"], atol=1e-4)


def test_variant_without_fragment_bias() -> None:
    network = fill_(Swin3D(window=(4, 4, 4), fragment_bias=False, adaptive_window=True)).eval()
    with torch.no_grad():
        pooled = network(FastVqa(depths=(1,), heads=(1,), width=4).normalise(clip(*INPUTS["mid"]) * 255)).mean(
            (2, 3, 4)
        )
    assert_summary(pooled, RECORDED["outputs"]["variant_m_mid_pooled_768"], atol=1e-4)
