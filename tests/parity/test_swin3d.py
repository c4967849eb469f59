"""Swin3D against the outputs of COVER's and DOVER's own class."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.swin3d import Swin3D, _layout
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

RECORDED = reference("swin3d")


def official(adaptive_window: bool) -> Swin3D:
    network = Swin3D(adaptive_window=adaptive_window)
    index = network.layers[0].blocks[0].attn.relative_position_index
    listing = [row[:2] for row in RECORDED["state_dict"]]
    weights = official_weights(listing)
    load_exact(network, weights | {key: index for key in weights if key.endswith("position_index")})
    return network.eval()


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: str(case["input_shape"]))
def test_map_and_stages(case) -> None:
    network = official(case["adaptive_window_size"])
    stages = {}
    for name in case.get("stages", {}):
        network.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: stages.update({name: output.permute(0, 4, 1, 2, 3)})
        )
    with torch.no_grad():
        maps = network(clip(case["input_shape"], case["seed"]))
    for name, expected in case.get("stages", {}).items():
        assert_summary(stages[name], expected)
    assert_summary(maps, case["out"])
    assert_close(maps.mean((2, 3, 4))[0, :16], case["pooled768_first16"])


def test_size() -> None:
    assert sum(parameter.numel() for parameter in Swin3D().parameters()) == RECORDED["params"]


def test_relative_position_index() -> None:
    index = Swin3D(depths=(1,), heads=(1,), dim=4).layers[0].blocks[0].attn.relative_position_index
    expected = RECORDED["relative_position_index"]
    assert list(index.shape) == expected["shape"]
    assert index.sum().item() == expected["sum"]
    assert index[0, :16].tolist() == expected["first_row_first16"]


@pytest.mark.parametrize("case", RECORDED["fragment_gate"], ids=lambda case: f"{case['DHW']} shift {case['shift']}")
def test_fragment_gate(case) -> None:
    grid, window, shift = (tuple(case[key]) for key in ("DHW", "window", "shift"))
    gate = _layout(grid, window, shift).gate
    # The authors hold a gate for each window in time and each pair of frames in it; ours is the same for all of them.
    times = grid[0] // window[0] * window[0] ** 2
    values, counts = gate.unique(return_counts=True)
    ours = {str(value): count * times for value, count in zip(values.tolist(), counts.tolist(), strict=True)}
    assert ours == case["gate_value_counts"]
    assert gate.numel() * gate.element_size() < 200_000
