"""SlowFast R50 against the outputs of PyTorchVideo's own network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from cvqa_models.nn.slowfast import CLASSIFIER_KEYS, Pathway, SlowFastNet
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close, reference

REFERENCE = reference("slowfast_r50")
OUTPUTS = REFERENCE["outputs"]


def features(pathway: Pathway, frames: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [maps.mean((2, 3, 4)) for maps in fill_(SlowFastNet(pathway)).eval()((frames - 0.45) / 0.225)]


def assert_recorded(ours: Tensor, expected: dict[str, Any]) -> None:
    atol = 1e-4 * expected["std"]  # the tolerance that the specification gives with the file
    assert_close(ours.flatten()[:16], expected["first16"], atol=atol, rtol=0)
    assert_close(ours.mean(), expected["mean"], atol=atol, rtol=0)
    assert_close(ours.std(correction=0), expected["std"], atol=atol, rtol=0)


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = {key: list(tensor.shape) for key, tensor in SlowFastNet().state_dict().items()}
    published = {key: shape for key, shape, *_ in REFERENCE["state_dict"]}
    assert published.keys() - ours.keys() == CLASSIFIER_KEYS
    assert ours == {key: published[key] for key in published if key not in CLASSIFIER_KEYS}


def test_both_maps_of_a_small_clip_and_each_alone() -> None:
    frames = clip((1, 3, 8, 64, 64), 0)
    slow, fast = features("both", frames)
    assert_recorded(slow, OUTPUTS["small_slow_globalmean"])
    assert_recorded(fast, OUTPUTS["small_fast_globalmean"])
    assert torch.equal(features("slow", frames)[0], slow)
    assert torch.equal(features("fast", frames)[0], fast)


def test_fast_map_of_a_whole_chunk() -> None:
    (fast,) = features("fast", clip((1, 3, 32, 224, 224), 0))
    assert_recorded(fast, OUTPUTS["fast_feature"])


@pytest.mark.slow
def test_slow_map_of_a_whole_chunk() -> None:
    (slow,) = features("slow", clip((1, 3, 32, 224, 224), 0))
    assert_recorded(slow, OUTPUTS["slow_feature"])
