"""UVQ 1.5: range, mean over frames, and branches that do not fit."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.branches.timm import Timm
from cvqa_models.branches.uvq import UvqContent, UvqDistortion
from cvqa_models.branches.views import key_frame_view
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.uvq import Uvq
from cvqa_models.video.dense import OfficialSeconds
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

SMALL = {"view": View(KeyFrames(2), Resize(96, 96, "bicubic")), "shrink": 4}


def test_a_score_is_the_mean_of_its_frames_between_1_and_5() -> None:
    torch.manual_seed(0)
    model = Uvq(UvqContent(**SMALL), UvqDistortion(**SMALL), GroupLoss()).eval()
    tokens = {name: 50 * torch.randn(3, 4, 2048) for name in ("content", "distortion")}
    frames = model.maps(tokens)["quality"]
    assert frames.shape == (3, 4)
    assert 1 <= frames.min() < frames.max() <= 5
    torch.testing.assert_close(model.score(tokens), frames.mean(1))


def test_refuses_a_branch_of_another_width() -> None:
    with pytest.raises(ValueError, match=r"`content` is .* expected 2048"):
        Uvq(Timm("test_vit", view=key_frame_view(1, size=32)), UvqDistortion(**SMALL), GroupLoss())


def test_the_authors_seconds_follow_the_length_of_the_video() -> None:
    view = View(OfficialSeconds(), Resize(96, 96, "bicubic"))
    assert UvqContent(view=view, shrink=4).view.key == "seconds-official-resize96x96-bicubic"
