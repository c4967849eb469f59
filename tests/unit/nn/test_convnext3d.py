"""Inflation of an image ConvNeXt over time."""

from __future__ import annotations

import pytest
import timm
import torch

from cvqa_models.nn.convnext3d import ConvNeXt3D, OfficialResponseNorm, inflate
from cvqa_models.weights.exact import load_exact


def test_inflated_kernels_see_a_still_clip_as_the_image() -> None:
    """A still clip, longer than all kernels together, gives in its middle what timm's ConvNeXt gives for the image."""
    torch.manual_seed(0)
    sizes = {"depths": (2, 1, 1, 1), "dims": (4, 8, 12, 16)}
    image = timm.create_model("convnext_tiny", num_classes=0, ls_init_value=0.5, **sizes).eval()
    network = ConvNeXt3D(**sizes).eval()
    load_exact(network, inflate({_published_name(key): value for key, value in image.state_dict().items()}, network))
    picture = torch.rand(1, 3, 64, 64)
    clip = picture.unsqueeze(2).repeat(1, 1, 12, 1, 1)
    with torch.no_grad():
        expected = image.head.norm(image.stages(image.stem(picture)))
        ours = network(clip)
    torch.testing.assert_close(ours[:, :, 3], expected)


def _published_name(key: str) -> str:
    """Return the name in the files of ConvNeXt's authors, which COVER keeps, of a key of timm."""
    for ours, theirs in (
        ("stem.", "downsample_layers.0."),
        *((f"stages.{stage}.downsample.", f"downsample_layers.{stage}.") for stage in (1, 2, 3)),
        (".blocks.", "."),
        ("conv_dw", "dwconv"),
        ("mlp.fc1", "pwconv1"),
        ("mlp.fc2", "pwconv2"),
        ("head.norm", "norm"),
    ):
        key = key.replace(ours, theirs)
    return key


def test_rejects_stages_without_dims() -> None:
    with pytest.raises(ValueError, match="`depths` has 2 entries and `dims` 1"):
        ConvNeXt3D(depths=(1, 1), dims=(8,))


def test_the_response_norm_runs_over_time_and_rows_of_each_column() -> None:
    generator = torch.Generator().manual_seed(0)
    norm = OfficialResponseNorm(6)
    norm.gamma.data = torch.randn(1, 1, 1, 6, generator=generator)
    norm.beta.data = torch.randn(1, 1, 1, 6, generator=generator)
    x = torch.randn(2, 3, 4, 5, 6, generator=generator)
    expected = torch.empty_like(x)
    for video in range(2):
        for column in range(5):
            strength = x[video, :, :, column].reshape(12, 6).norm(dim=0)
            relative = strength / (strength.mean() + 1e-6)
            part = x[video, :, :, column]
            expected[video, :, :, column] = norm.gamma[0, 0] * part * relative + norm.beta[0, 0] + part
    with torch.no_grad():
        torch.testing.assert_close(norm(x), expected)


def test_a_network_with_response_norms_has_no_scale_per_channel() -> None:
    keys = set(ConvNeXt3D(depths=(1,), dims=(4,), response_norm=True).state_dict())
    assert {"stages.0.0.grn.gamma", "stages.0.0.grn.beta"} <= keys
    assert "stages.0.0.gamma" not in keys
