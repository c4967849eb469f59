"""Swin-B at 384 against timm's own output, with the key names of timm 1.x and 0.6."""

from __future__ import annotations

import torch

from cvqa_models.branches.swin import Swin
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close, reference

REFERENCE = reference("swin_b_384_timm1")


def test_pooled_tokens() -> None:
    branch = Swin().eval()
    fill_(branch.net)
    recorded = {key: shape for key, shape, *_ in REFERENCE["state_dict"]}
    assert {key: list(tensor.shape) for key, tensor in branch.net.state_dict().items()} == recorded

    frames = clip((1, 2, 3, 384, 384), 0)[:, :1]
    mean, std = branch.normalise.mean.squeeze(-1), branch.normalise.std.squeeze(-1)
    with torch.no_grad():
        pooled = branch.net((frames[0] - mean) / std)
    expected = REFERENCE["outputs"]["pooled_1024"]
    assert list(pooled.shape) == expected["shape"]
    atol = 1e-4 * expected["std"]  # the tolerance that the specification gives with the file
    assert_close(pooled[0, :16], expected["first16"], atol=atol, rtol=0)
    assert_close(pooled.mean(), expected["mean"], atol=atol, rtol=0)
    assert_close(pooled.std(correction=0), expected["std"], atol=atol, rtol=0)
