"""Swin3D on sizes and in modes that no recorded output covers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cvqa_models.nn import swin3d
from cvqa_models.nn.swin3d import Swin3D, _layout


@pytest.fixture
def network() -> Swin3D:
    torch.manual_seed(0)
    network = Swin3D(dim=8, depths=(2, 2), heads=(1, 2), window=(4, 3, 3), drop_path=0.0)
    for name, parameter in network.named_parameters():
        if name.endswith("bias_table"):
            torch.nn.init.normal_(parameter)
    return network.eval()


def video(frames: int = 16, side: int = 40, batch: int = 2) -> Tensor:
    return torch.rand((batch, 3, frames, side, side), generator=torch.Generator().manual_seed(1))


def test_a_video_does_not_see_its_neighbours(network: Swin3D) -> None:
    x = video()
    torch.testing.assert_close(network(x), torch.cat([network(part) for part in x.split(1)]))


def test_shape_with_incomplete_patches_and_windows(network: Swin3D) -> None:
    assert network(video(frames=15, side=42)).shape == (2, network.dim, 8, 6, 6)


def test_recomputed_gradient_is_the_plain_one(network: Swin3D) -> None:
    gradients = []
    for mode in (False, True):  # blocks are recomputed in training mode only; without dropout both are one function
        network.train(mode).zero_grad()
        network(video()).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_training_after_scoring_in_inference_mode(network: Swin3D) -> None:
    _layout.cache_clear()
    with torch.inference_mode():
        scored = network(video())
    trained = network.train()(video())
    trained.sum().backward()
    torch.testing.assert_close(trained.detach(), scored.clone())


def test_attention_is_softmax_of_scaled_products_with_biases() -> None:
    torch.manual_seed(0)
    network = Swin3D(dim=8, depths=(1, 1), heads=(2, 2), window=(2, 2, 2))
    attention = network.layers[0].blocks[0].attn
    torch.nn.init.normal_(attention.fragment_position_bias_table)
    grid = (2, 4, 4)  # four places; a fragment is 2 x 2 tokens, so that each place is one fragment
    x = torch.randn(4, 1, 1, 8, 8)
    ours = attention(x, _layout(grid, (2, 2, 2), (0, 0, 0)), (2, 2, 2), False)
    q, k, v = F.linear(x[:, 0, 0], attention.qkv.weight, attention.qkv.bias).view(4, 8, 3, 2, 4).permute(2, 0, 3, 1, 4)
    index = attention.relative_position_index
    bias = attention.fragment_position_bias_table[index].permute(2, 0, 1)
    expected = ((q @ k.transpose(-1, -2)) / 2 + bias).softmax(-1) @ v
    torch.testing.assert_close(ours[:, 0, 0], attention.proj(expected.transpose(1, 2).reshape(4, 8, 8)))


@pytest.mark.parametrize("fragment_bias", [True, False])
def test_windows_attend_alike_at_whatever_number_at_a_time(
    fragment_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = Swin3D(
        dim=8, depths=(2, 1), heads=(1, 2), window=(2, 3, 3), fragment_bias=fragment_bias, drop_path=0.0
    ).train()
    found = []
    for pairs in (1, 3 * 18**2, 2**17):  # of 16 places: one, three, all
        monkeypatch.setattr(swin3d, "_PAIRS", pairs)
        network.zero_grad()
        y = network(video())
        y.square().mean().backward()
        found.append([y.detach(), *(parameter.grad.clone() for parameter in network.parameters())])
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_rejects_stages_without_heads() -> None:
    with pytest.raises(ValueError, match="`depths` has 2 entries and `heads` 1"):
        Swin3D(depths=(1, 1), heads=(1,))


def test_rejects_a_clip_without_a_window() -> None:
    network = Swin3D(dim=4, depths=(1,), heads=(1,), adaptive_window=True)
    with pytest.raises(ValueError, match=r"attention window of \(0, 7, 7\) tokens"):
        network(torch.zeros(1, 3, 2, 224, 224))
