"""DOVER over tiny branches: fusion by name, what stands beside the score, and what each branch learns by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.models.dover import Dover, Fusion
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View

FUSION = Fusion(Logistic(0.1, 0.05), Logistic(-0.1, 0.02), 0.75)


def build(fusion: Fusion | None = FUSION) -> Dover:
    torch.manual_seed(0)
    small = {"depths": (1, 1), "dims": (8, 16), "frozen": True}
    technical = ConvNeXt3DMap(view=View(UniformClips(1, 4, 2), Fragments((2, 2), 8)), part="technical", **small)
    aesthetic = ConvNeXt3DMap(view=View(Spliced(UniformClips(2, 1)), Resize(16, 32)), **small)
    return Dover(technical, aesthetic, hidden=4, fusion=fusion).eval()


def tokens(videos: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {"technical": 2 * 2 * 2, "aesthetic": 1 * 2 * 4}
    return {name: torch.randn(videos, count, 16, generator=generator) for name, count in sizes.items()}


@torch.no_grad()
def test_two_means_of_maps_are_fused() -> None:
    model, seen = build(), tokens()
    maps, details = model.maps(seen), model.details(seen)
    assert {name: tuple(found.shape[1:]) for name, found in maps.items()} == {
        "technical": (2, 2, 2),
        "aesthetic": (1, 2, 4),
    }
    technical, aesthetic = (maps[name].flatten(1).mean(1) for name in ("technical", "aesthetic"))
    torch.testing.assert_close(details["technical_raw"], technical)
    torch.testing.assert_close(details["technical"], ((technical - 0.1) / 0.05).sigmoid())
    torch.testing.assert_close(details["aesthetic"], ((aesthetic + 0.1) / 0.02).sigmoid())
    fused = 0.75 * (technical - 0.1) / 0.05 + 0.25 * (aesthetic + 0.1) / 0.02
    torch.testing.assert_close(details["raw"], fused)
    torch.testing.assert_close(model.score(seen), fused.sigmoid())


@torch.no_grad()
def test_without_a_fusion_raw_scores_add_up() -> None:
    model, seen = build(None), tokens()
    details = model.details(seen)
    assert set(details) == {"technical", "aesthetic"}
    torch.testing.assert_close(model.score(seen), details["technical"] + details["aesthetic"])
    torch.testing.assert_close(build().details(seen)["technical_raw"], details["technical"])


@torch.no_grad()
def test_each_branch_learns_by_its_raw_score() -> None:
    model, seen = build(), tokens()
    mos, group, weight = torch.tensor([1.0, 3.0, 2.0]), torch.zeros(3, dtype=torch.int64), torch.ones(3)
    total, count = model.training_loss(seen, Batch(["a", "b", "c"], ["g"] * 3, group, mos, weight))
    details = model.details(seen)
    parts = [model.loss(details[f"{name}_raw"], mos, group, weight)[0] for name in ("technical", "aesthetic")]
    assert count.item() == 1
    torch.testing.assert_close(total, parts[0] + parts[1])


def test_refuses_a_share_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"`share` of the fusion is 1\.2; expected a weight from 0 to 1"):
        Fusion(Logistic(0.0, 1.0), Logistic(0.0, 1.0), 1.2)
