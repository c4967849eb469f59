"""ConvNeXt3D against the outputs of COVER's own class."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.convnext3d import ConvNeXt3D
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_summary, official_weights, reference

RECORDED = reference("convnext3d")


@pytest.fixture(scope="module")
def network() -> ConvNeXt3D:
    network = ConvNeXt3D()
    load_exact(network, official_weights(RECORDED["state_dict"]))
    return network.eval()


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: str(case["input_shape"]))
def test_map_and_stages(network: ConvNeXt3D, case) -> None:
    stages = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: stages.update({name: output})
        )
        for name in case["stages"]
    ]
    with torch.no_grad():
        maps = network(clip(case["input_shape"], case["seed"]))
    for hook in hooks:
        hook.remove()
    for name, expected in case["stages"].items():
        assert_summary(stages[name], expected)
    assert_summary(maps, case["out"])


def test_size(network: ConvNeXt3D) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == RECORDED["params"]
