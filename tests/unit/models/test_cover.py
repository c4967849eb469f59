"""COVER's fusion over tiny branches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.clip_frames import ClipFrames
from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.branches.swin3d import Swin3DMap
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.cover import Cover
from cvqa_models.video.frame_rules import FrameRule, FrameTimes, UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View


def build(width: int = 16, runs: FrameRule | None = None) -> Cover:
    torch.manual_seed(0)
    runs = runs or Spliced(UniformClips(3, 2, 2, random=True))
    semantic = ClipFrames(
        view=View(UniformClips(3, 1, 2), Resize(30, 30)), width=16, depth=1, heads=2, patch=8, dim=width
    )
    technical = Swin3DMap(view=View(runs, Fragments((2, 2), 16)), width=8, depths=(1, 1), heads=(1, 2))
    aesthetic = ConvNeXt3DMap(view=View(runs, Resize(32, 32)), depths=(1, 1), dims=(8, 16))
    return Cover(semantic, technical, aesthetic, GroupLoss()).eval()


def views(model: Cover) -> dict[str, Tensor]:
    torch.manual_seed(1)
    tensors = {}
    for branch in model.each_branch().values():
        frames = branch.view.frames
        shape = (2, frames.num_clips, 3, frames.clip_length, *branch.view.pixels.output_size(72, 128))
        tensors[branch.view.key] = torch.randint(0, 256, shape, dtype=torch.uint8)
    return tensors


def test_score_is_the_sum_of_the_means_of_the_maps() -> None:
    model = build()
    seen = views(model)
    with torch.no_grad():
        tokens = {name: branch.tokens(seen[branch.view.key]) for name, branch in model.each_branch().items()}
        maps, details, score = model.maps(tokens), model.details(tokens), model.score(tokens)
    assert maps["technical"].shape == maps["aesthetic"].shape == (2, 3, 4, 4)
    assert maps["semantic"].shape == (2, 3, 1, 1)
    torch.testing.assert_close(score, sum(scores.flatten(1).mean(1) for scores in maps.values()))
    torch.testing.assert_close(score, sum(details.values()))


def test_moments_of_all_branches_show_the_same_time() -> None:
    frame_times = FrameTimes(300, 30.0, tuple(index / 30 for index in range(300)))
    moments = [
        branch.view.frames.indices(frame_times, None).reshape(3, -1) for branch in build().each_branch().values()
    ]
    for frames in zip(*moments, strict=True):
        assert max(part.max() for part in frames) - min(part.min() for part in frames) <= 3


def test_rejects_branches_of_other_widths() -> None:
    with pytest.raises(ValueError, match=r"widths \{'technical': 16, 'aesthetic': 16, 'semantic': 8\}"):
        build(width=8)


def test_rejects_clips_apart_for_maps() -> None:
    reason = r"`view` has clips apart \(`clip3x2s2`\), but this network sees one; join them with `Spliced`"
    with pytest.raises(ValueError, match=reason):
        build(runs=UniformClips(3, 2, 2))


@pytest.mark.parametrize("count", [47, 24, 2])
def test_rejects_tokens_that_are_no_square_map(count: int) -> None:
    tokens = {"semantic": torch.zeros(1, 3, 16), "technical": torch.zeros(1, count, 16)}
    with pytest.raises(ValueError, match=f"`technical` has {count} tokens for 3 moments"):
        build().score(tokens | {"aesthetic": torch.zeros(1, 48, 16)})
