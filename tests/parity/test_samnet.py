"""SAMNet against the outputs of its authors' own code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cvqa_models.nn.samnet import PyramidPooling, SamNet, StereoscopicAttention
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_summary, reference

REFERENCE = reference("samnet")
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return fill_(SamNet()).eval()


def test_names_shapes_and_size_are_the_published_ones(network: nn.Module) -> None:
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == dict(REFERENCE["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == 1_330_129


@pytest.mark.parametrize(("case", "shape"), [(0, (1, 3, 96, 128)), (1, (2, 3, 90, 122))])
def test_maps(network: nn.Module, case: int, shape: tuple[int, ...]) -> None:
    expected = REFERENCE["cases"][case]
    x = (clip(shape, seed=2) - MEAN) / STD
    with torch.no_grad():
        maps = network(x)
        stages = network.context_path(x)
    assert_summary(maps, expected["output"])
    assert_summary(maps[:, 0], expected["main_map"])
    for stage, summary in zip(stages, expected["stages"], strict=True):
        assert_summary(stage, summary)


@pytest.mark.parametrize(
    ("part", "shape", "name"),
    [(StereoscopicAttention(16), (2, 16, 20, 24), "vamm"), (PyramidPooling(128), (1, 128, 7, 9), "pyramid")],
)
def test_parts(part: nn.Module, shape: tuple[int, ...], name: str) -> None:
    fill_(part).eval()
    assert {key: list(value.shape) for key, value in part.state_dict().items()} == dict(REFERENCE[name]["state_dict"])
    with torch.no_grad():
        assert_summary(part(clip(shape, seed=3)), REFERENCE[name]["output"])
