"""A branch sees its own view or one that it is given, and says in a sentence why one does not suit it."""

from __future__ import annotations

import inspect

import pytest
import torch

from cvqa_models.branches.clip import Clip
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.branches.fastvqa import FastVqa
from cvqa_models.branches.ms_ssim import MsSsimFrames
from cvqa_models.branches.piq import Piq
from cvqa_models.branches.slowfast import SlowFast
from cvqa_models.branches.swin3d import Swin3DMap
from cvqa_models.branches.timm import Timm
from cvqa_models.branches.views import key_frame_view, places
from cvqa_models.video.dense import OfficialEveryFrame
from cvqa_models.video.frame_rules import Chunks, KeyFrames, UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Crop, Native, Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from tests.unit.branches.test_contract import CLASSES, TINY_CLASSES
from tests.unit.branches.tiny import TINY

SMALL = {"depths": (1,), "heads": (1,), "width": 4}


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_every_branch_is_given_its_view_by_the_same_two_arguments(path: str) -> None:
    arguments = inspect.signature(CLASSES[path]).parameters
    for name in ("view", "num_clips"):
        assert arguments[name].default is None, name
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("path", TINY_CLASSES)
def test_a_branch_shows_the_view_that_it_is_given_or_as_many_clips_as_asked_for(path: str) -> None:
    sizes = {name: value for name, value in TINY[path].items() if name not in ("view", "num_clips")}
    branch = CLASSES[path](**sizes)
    view = branch.view
    given = CLASSES[path](view=view, **sizes)
    assert given.view == view
    runs = view.frames.runs if isinstance(view.frames, Spliced) else view.frames
    assert runs.num_clips is not None
    fewer = CLASSES[path](num_clips=3, **sizes).view.frames
    assert (fewer.runs if isinstance(fewer, Spliced) else fewer).num_clips == 3 != runs.num_clips
    assert fewer.key == view.frames.key.replace(str(runs.num_clips), "3", 1)
    with pytest.raises(
        ValueError, match=r"`num_clips` is 3, but the given `view` has a number of clips, too; .* leave this one out"
    ):
        CLASSES[path](view=view, num_clips=3, **sizes)


@pytest.mark.parametrize(
    ("branch", "sizes"),
    [(FastVqa, SMALL), (Swin3DMap, SMALL), (ConvNeXt3DMap, {"depths": (1,), "dims": (4,)}), (CompressionLevel, {})],
)
def test_training_draws_its_own_view_at_random_and_a_frozen_branch_does_not(branch: type, sizes: dict) -> None:
    assert branch(frozen=False, **sizes).view.random
    assert not branch(frozen=True, **sizes).view.random


def test_a_given_view_is_as_random_as_it_says() -> None:
    view = View(UniformClips(2, 8, 2), Fragments((2, 2), 16))
    assert not FastVqa(view=view, frozen=False, **SMALL).view.random


def test_scores_of_tokens_find_their_places() -> None:
    view = View(UniformClips(2, 4), Fragments((4, 8), 16))
    scores = torch.arange(2 * 2 * 2 * 4.0).view(1, -1)  # a position for each 32 pixels
    placed = places(scores, view)
    assert placed.shape == (1, 4, 2, 4)
    assert placed[0, 3, 1, 2] == 3 * 8 + 1 * 4 + 2
    with pytest.raises(
        ValueError, match=r"There are 33 tokens of `clip2x4s1-frag4x8x16`; expected a map of 64 x 128 pi"
    ):
        places(torch.zeros(1, 33), view)


def test_the_network_is_built_for_the_size_of_the_view() -> None:
    assert Timm("test_vit", view=key_frame_view(2, size=64)).net.patch_embed.img_size == (64, 64)
    tall = View(KeyFrames(2), Resize(64, 32))
    assert Timm("test_vit", view=tall).net.patch_embed.img_size == (64, 32)


def test_a_comparison_reads_the_source_whatever_its_view_says() -> None:
    view = View(OfficialEveryFrame(), Native())
    assert MsSsimFrames(view=view).view == Piq(view=view).view == View(OfficialEveryFrame(), Native(), True)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda: Timm("test_vit", view=View(Chunks(2, 4), Resize(32, 32))),
            r"`view` has 4 frames in a clip \(`chunk2x4`\), but this network takes 1; choose other `frames`",
        ),
        (
            lambda: SlowFast(view=View(Chunks(2, 6), Resize(32, 32))),
            r"`view` has 6 frames in a clip \(`chunk2x6`\), but this network takes a multiple of 4; choose",
        ),
        (
            lambda: Timm("test_vit", view=View(KeyFrames(2), Native())),
            r"`view` shows frames of the video's own size \(`native`\), but this network takes one size; .* `Resize`",
        ),
        (
            lambda: Timm("test_vit", view=View(KeyFrames(2), Crop(32), with_reference=True)),
            r"`with_reference` of `view` is true, but this branch compares nothing with the source; leave it out",
        ),
        (
            lambda: CompressionLevel(view=View(UniformClips(4, 2), Resize(64, 64))),
            r"`view` shows frames in one piece \(`resize64x64`\), but this network sees patches; take `NativePatches`",
        ),
        (
            lambda: Clip("ViT-B-16", view=key_frame_view(size=64), vision={"layers": 1}),
            r"`view` shows frames of \(64, 64\), but the tower takes \(224, 224\); change the view's `pixels`, or",
        ),
        (lambda: Timm("test_vit", num_clips=0), r"`num_clips` of KeyFrames is 0; expected at least 1"),
    ],
)
def test_a_view_that_does_not_suit_a_branch_is_refused_in_a_sentence(build: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build()  # type: ignore[operator]
