"""mPLUG-Owl2 beyond its reference numbers: released sizes, masking, several images, gradients."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from cvqa_models.nn.lmm.mplug_owl2 import MplugOwl2, MplugOwl2Config

TINY = MplugOwl2Config(
    image_size=28,
    vision_dim=16,
    vision_hidden=24,
    vision_layers=1,
    vision_heads=2,
    num_queries=2,
    abstractor_hidden=24,
    abstractor_layers=1,
    abstractor_heads=2,
    vocabulary=16,
    dim=16,
    hidden=24,
    layers=2,
    heads=2,
)
STATED = {
    "vocab_size": 32064,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-5,
    "architectures": ["MPLUGOwl2LlamaForCausalLM"],
}


def test_released_sizes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(STATED), encoding="utf-8")
    assert asdict(MplugOwl2Config.read(path)) == asdict(MplugOwl2Config(vocabulary=32064, rms_eps=1e-5))


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="download the whole folder"):
        MplugOwl2Config.read(tmp_path / "config.json")


def test_another_models_config_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"vocab_size": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="states no `hidden_size`"):
        MplugOwl2Config.read(path)


def test_text_ahead_of_the_image_does_not_see_it() -> None:
    torch.manual_seed(0)
    network = MplugOwl2(TINY).eval()
    before, after = torch.tensor([1, 2, 3]), torch.tensor([4, 5])
    one, other = (network(before, torch.randn(1, 1, 3, 28, 28), after) for _ in range(2))
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3:], other[:, 3:])


def test_images_of_a_row_follow_one_another() -> None:
    torch.manual_seed(0)
    network = MplugOwl2(TINY).eval()
    before, after, pixels = torch.tensor([1]), torch.tensor([2]), torch.randn(1, 3, 3, 28, 28)
    hidden = network(before, pixels, after)
    assert hidden.shape == (1, 1 + 3 * 3 + 1, 16)
    swapped = network(before, pixels[:, [0, 2, 1]], after)
    torch.testing.assert_close(hidden[:, :4], swapped[:, :4])
    assert not torch.allclose(hidden[:, -1], swapped[:, -1])


def test_recomputed_activations_give_the_same_gradient() -> None:
    torch.manual_seed(0)
    network = MplugOwl2(TINY)
    before, after, pixels = torch.tensor([1]), torch.tensor([2]), torch.randn(2, 1, 3, 28, 28)
    gradients = []
    for training in (True, False):  # activations are recomputed in training mode alone; there is no dropout
        network.train(training).zero_grad()
        network(before, pixels, after)[:, -1].square().sum().backward()
        used = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        gradients.append(used)
    assert set(gradients[0]) == {name for name, _ in network.named_parameters()} - {"lm_head.weight"}
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])
