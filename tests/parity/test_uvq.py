"""UVQ 1.5 against the outputs of its own networks, and its aggregation with the published weights' recorded cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.nn.uvq import UvqAggregation, UvqTrunk, content_map, distortion_map
from cvqa_models.weights.exact import load_exact
from tests.parity.fill import clip
from tests.parity.summary import assert_close, assert_summary, official_weights, reference

RECORDED = reference("uvq15")
FACTOR = RECORDED["fill_variation"]["content_after_fill_multiply_ndim_ge_2_by"]
CASES = {
    "noise_seed0": lambda: clip((1, 3, 1080, 1920), 0) * 2 - 1,
    "block27x48_seed1": lambda: blocks(1, 27, 48),
    "black": lambda: torch.full((1, 3, 1080, 1920), -1.0),
}


def blocks(seed: int, height: int, width: int) -> Tensor:
    small = clip((1, 3, height, width), seed)
    return small.repeat_interleave(1080 // height, -2).repeat_interleave(1920 // width, -1) * 2 - 1


def trunk(name: str) -> UvqTrunk:
    """Return a feature network with the file's rule for weights."""
    weights = official_weights(RECORDED[f"state_dict_{name}"])
    network = UvqTrunk()
    load_exact(network, {key: value * FACTOR if value.ndim >= 2 else value for key, value in weights.items()})
    return network.eval()


@pytest.fixture(scope="module")
def aggregation() -> UvqAggregation:
    network = UvqAggregation()
    load_exact(network, official_weights(RECORDED["state_dict_aggregation"]))
    return network.eval()


@pytest.mark.parametrize("name", CASES)
@torch.inference_mode()
def test_score_and_maps(aggregation: UvqAggregation, name: str) -> None:
    expected = RECORDED["outputs"][name]
    x = CASES[name]()
    content, distortion = content_map(trunk("content"), x), distortion_map(trunk("distortion"), x)
    pooled = torch.cat([content, distortion], dim=1)
    # The tolerance that the file gives: a thousandth of the map's deviation.
    assert_summary(pooled, expected["agg_pooled_concat"], atol=1e-3 * expected["agg_pooled_concat"]["std"])
    assert_close(aggregation(content, distortion), [RECORDED["scores"][name]], atol=1e-4)


@torch.inference_mode()
def test_layers_of_the_content_network() -> None:
    expected = RECORDED["outputs"]["block27x48_seed1"]
    network = trunk("content")
    found: dict[str, Tensor] = {}
    for index in (0, 1, 2, 3, 5, 8, 11, 16, 17):
        network.features[index].register_forward_hook(
            lambda module, args, output, key=f"content_features.{index}": found.update({key: output})
        )
    content_map(network, blocks(1, 27, 48))
    for key, output in found.items():
        summary = expected[key]
        summary = summary | {"shape": list(output.shape)}  # recorded without the last side
        assert_summary(output, summary, atol=1e-3 * summary["std"])


@torch.inference_mode()
def test_frames_of_a_batch_get_the_bits_of_each_alone(aggregation: UvqAggregation) -> None:
    network = UvqTrunk(shrink=4).eval()
    x = torch.cat([clip((1, 3, 192, 192), seed) * 2 - 1 for seed in range(3)])
    assert torch.equal(distortion_map(network, x)[1:2], distortion_map(network, x[1:2]))


def test_sizes() -> None:
    for name, network in (("content", UvqTrunk()), ("aggregation", UvqAggregation())):
        assert sum(parameter.numel() for parameter in network.parameters()) == RECORDED["params"][name]


def test_refuses_sides_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="1920x1081 do not split"):
        distortion_map(UvqTrunk(shrink=4), torch.zeros(1, 3, 1081, 1920))
