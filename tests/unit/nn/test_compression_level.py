"""The compact network: what it sees, and that it pools a frame as a whole."""

import torch

from cvqa_models.nn.compression_level import CompressionLevelNet


def _patches(seed: int = 0, pairs: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (pairs, 3, 3, 2, 48, 48), generator=generator, dtype=torch.uint8)


def test_a_vector_per_pair_of_six_times_the_width() -> None:
    net = CompressionLevelNet(16)
    assert net.dim == 96
    assert net(_patches()).shape == (2, 96)


def test_the_order_of_patches_does_not_matter_but_each_one_does() -> None:
    net, patches = CompressionLevelNet(8).eval(), _patches()
    with torch.inference_mode():
        whole = net(patches)
        torch.testing.assert_close(net(patches[:, [2, 0, 1]]), whole, atol=1e-5, rtol=1e-4)
        assert (net(patches[:, :2]) - whole).abs().max() > 1e-4


def test_a_pair_is_described_alike_beside_others() -> None:
    net, patches = CompressionLevelNet(8).eval(), _patches(pairs=3)
    with torch.inference_mode():
        torch.testing.assert_close(net(patches)[1:2], net(patches[1:2]), atol=1e-5, rtol=1e-4)


def test_both_frames_are_seen_and_chroma_is_not() -> None:
    net, patches = CompressionLevelNet(8).eval(), _patches()
    later = patches.clone()
    later[:, :, :, 1] = 0
    tinted = torch.full((1, 1, 3, 2, 48, 48), 100.0)
    # Red up, green down, luma kept: 0.299 * 0.587 / 0.299 = 0.587.
    tinted[:, :, 0, :, :24] += 58.7
    tinted[:, :, 1, :, :24] -= 29.9
    with torch.inference_mode():
        assert (net(later) - net(patches)).abs().max() > 1e-3
        torch.testing.assert_close(net(tinted), net(torch.full_like(tinted, 100.0)), atol=1e-3, rtol=1e-3)


def test_a_flat_picture_gives_finite_numbers_and_gradients() -> None:
    net = CompressionLevelNet(8)
    net(torch.zeros(1, 2, 3, 2, 48, 48)).sum().backward()
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
