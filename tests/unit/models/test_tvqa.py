"""TVQA: which tokens meet, and what the score may depend on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.hvs5m import HvsMotion, HvsSpatial
from cvqa_models.branches.timm import Timm
from cvqa_models.branches.views import key_frame_view
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.tvqa import Tvqa, matching_motion, nearest
from cvqa_models.video.frame_rules import FrameTimes, KeyFrames


def make_model(temporal: bool = True) -> Tvqa:
    torch.manual_seed(0)
    spatial = HvsSpatial(name="test_convnext", num_clips=1)
    motion = HvsMotion(depth=(1, 1, 1, 1), width=8, num_clips=1)
    return Tvqa(spatial, motion, Timm("test_vit", view=key_frame_view(2, size=32)), GroupLoss(), temporal=temporal)


def make_features(model: Tvqa, steps: int = 32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    dims = {name: branch.dim for name, branch in model.each_branch().items()}
    counts = {"spatial": steps, "motion": 32, "semantic": 3}
    return {name: torch.randn(4, counts[name], dim, generator=generator) for name, dim in dims.items()}


@pytest.mark.parametrize("temporal", [True, False])
def test_every_branch_has_a_say_and_the_head_learns(temporal: bool) -> None:
    model = make_model(temporal)
    features = {name: tokens.requires_grad_() for name, tokens in make_features(model).items()}
    score = model.score(features)
    assert score.shape == (4,)
    score.sum().backward()
    for name, tokens in features.items():
        assert tokens.grad is not None, name
        assert (tokens.grad != 0).any(), name
    head = [p for name, p in model.named_parameters() if not name.startswith("branches.") and p.requires_grad]
    assert head
    assert all(p.grad is not None for p in head)


@pytest.mark.parametrize("temporal", [True, False])
def test_a_score_depends_on_its_own_video_alone(temporal: bool) -> None:
    model = make_model(temporal).eval()
    features = make_features(model)
    alone = [model.score({name: tokens[row : row + 1] for name, tokens in features.items()}) for row in range(4)]
    torch.testing.assert_close(model.score(features), torch.cat(alone))


def test_the_overlap_of_the_last_chunk_is_cut_from_motion() -> None:
    motion = torch.arange(64.0).reshape(1, 64, 1)
    assert matching_motion(motion, 50)[0, :, 0].tolist() == [*range(32), *range(46, 64)]
    assert matching_motion(motion, 64) is motion


@pytest.mark.parametrize("steps", [32, 65])
def test_motion_of_another_sampling_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"64 steps for {steps} of `spatial`; give both branches the same"):
        matching_motion(torch.zeros(1, 64, 1), steps)


@pytest.mark.parametrize("seconds", [1, 2, 4, 8])
def test_a_moment_meets_the_key_frame_of_its_second(seconds: int) -> None:
    video = FrameTimes(25 * seconds, 25.0, tuple(index / 25 for index in range(25 * seconds)))
    tokens = torch.from_numpy(KeyFrames(8).indices(video)) / 25.0
    met = nearest(tokens[None], 160)[0, :, 0]
    moments = (torch.arange(160) + 0.5) / 160 * seconds
    assert torch.equal(met, moments.floor())


def test_nearest_token_in_time() -> None:
    tokens = torch.tensor([[[0.0], [1.0], [2.0]]])
    assert nearest(tokens, 6)[0, :, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert nearest(tokens, 2)[0, :, 0].tolist() == [0, 2]
