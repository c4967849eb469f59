"""CLIP's ViT-L/14 image tower as open_clip builds it, against OpenAI's layout."""

from __future__ import annotations

import torch

from cvqa_models.branches.clip import Clip
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close, reference

REFERENCE = reference("clip_visual")


def test_embedding_with_positions() -> None:
    branch = Clip().eval()
    tower = fill_(branch.net)
    recorded = {key: shape for key, shape, *_ in REFERENCE["state_dict"]}
    assert {key: list(tensor.shape) for key, tensor in tower.state_dict().items()} == recorded

    (case,) = [case for case in REFERENCE["cases"] if case["pos_embedding"]]
    assert case["input"] == "clip([1, 3, 224, 224],1)*4-2"
    with torch.no_grad():
        embedding = tower(clip((1, 3, 224, 224), 1) * 4 - 2)
    expected = case["feature"]
    assert list(embedding.shape) == expected["shape"]
    atol = 1e-4 * expected["std"]  # the tolerance that the specification gives with the file
    assert_close(embedding[0, :16], expected["first16"], atol=atol, rtol=0)
    assert_close(embedding.mean(), expected["mean"], atol=atol, rtol=0)
    assert_close(embedding.std(correction=0), expected["std"], atol=atol, rtol=0)
