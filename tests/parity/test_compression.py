"""The compression network against the outputs of UVQ's own CompressionNet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cvqa_models.branches.compression import LEVEL_AND_PROJECTION, Compression
from cvqa_models.video.frame_rules import Chunks
from cvqa_models.video.pixel_rules import Fit
from cvqa_models.video.view import View
from tests.parity.fill import clip, fill_
from tests.parity.summary import assert_close, reference

REFERENCE = reference("uvq_compressionnet")
OUTPUTS = REFERENCE["outputs"]
# No `compress_level` and `batch2_level` here: the branch takes features, and the head of the level is not built.
ATOL = 1e-4 * OUTPUTS["features_1600_hwc"]["std"]  # the tolerance that the file gives


def published_branch() -> Compression:
    """Return the published network with the file's rule for weights, for pixels already in [-1, 1]."""
    branch = Compression(num_clips=1).eval()
    fill_(branch.net)
    with torch.no_grad():
        for tensor in branch.net.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim >= 2:
                tensor.mul_(REFERENCE["fill_variation"]["after_fill_multiply_ndim_ge_2_by"])
    branch.normalise = nn.Identity()  # type: ignore[assignment]
    return branch


def blocks(small: Tensor) -> Tensor:
    return small.repeat_interleave(10, -2).repeat_interleave(10, -1) * 2 - 1


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = {key: list(tensor.shape) for key, tensor in Compression().net.state_dict().items()}
    published = {key: shape for key, shape, *_ in REFERENCE["state_dict"]}
    assert published.keys() - ours.keys() == LEVEL_AND_PROJECTION
    assert ours == {key: published[key] for key in ours}


def test_features_of_a_patch() -> None:
    with torch.no_grad():
        patch = published_branch().net(blocks(clip((1, 3, 5, 18, 32), 0)))
    expected = OUTPUTS["features_1600_hwc"]
    flat = patch.permute(0, 2, 3, 1).flatten()
    assert_close(flat[:16], expected["first16"], atol=ATOL, rtol=0)
    assert_close(flat.mean(), expected["mean"], atol=ATOL, rtol=0)
    assert_close(flat.std(correction=0), expected["std"], atol=ATOL, rtol=0)


@pytest.mark.slow
def test_token_of_a_second_is_the_mean_over_its_patches() -> None:
    branch, tiled = published_branch(), OUTPUTS["tiled_features"]
    second = blocks(clip((1, 5, 3, 72, 128), 1)).transpose(1, 2)
    with torch.no_grad():
        corner = branch.net(second[..., :180, :320])
        tokens = branch.tokens(second[:, None])
    assert tokens.shape == (1, 1, 1600)
    assert_close(corner[0, :16, 0, 0], tiled["first16"], atol=ATOL, rtol=0)
    assert_close(tokens.mean(), tiled["mean"], atol=ATOL, rtol=0)


def test_a_feature_vector_runs_by_row_column_and_channel() -> None:
    branch = Compression(
        view=View(Chunks(1, 5, fps=5), Fit(180, 320, "bicubic")), grid=(1, 1), net_width=0.05, features=3
    ).eval()
    x = torch.randint(0, 256, (1, 1, 3, 5, 180, 320), dtype=torch.uint8)
    with torch.no_grad():
        maps = branch.net(x[0] / 127.5 - 1)
        token = branch.tokens(x).view(4, 4, 3)
    torch.testing.assert_close(token, maps[0].permute(1, 2, 0), rtol=1e-5, atol=1e-6)
