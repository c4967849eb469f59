"""The affine head of Compression-RQ-VQA."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_rq_vqa import CompressionRqVqa
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

NAMES = ("spatial", "motion", "language", "agreement", "fragments", "compression")


class Given(Branch):
    def __init__(self, dim: int) -> None:
        super().__init__(View(KeyFrames(2), Resize(8, 8)), dim, frozen=True)

    def tokens(self, x: Tensor) -> Tensor:
        raise AssertionError(x.shape)


def test_scoring_moments_and_averaging_scores_is_the_same() -> None:
    torch.manual_seed(0)
    branches = {name: Given(dim) for dim, name in enumerate(NAMES, start=2)}
    model = CompressionRqVqa(**branches, loss=GroupLoss(), hidden=4)
    tokens = {name: torch.randn(2, 5, branch.dim) for name, branch in branches.items()}
    per_moment = model.quality(torch.cat([tokens[name] for name in NAMES], dim=2)).mean(1).squeeze(1)
    torch.testing.assert_close(model.score(tokens), per_moment)


def test_branches_may_have_different_numbers_of_tokens() -> None:
    branches = {name: Given(3) for name in NAMES[:5]}
    model = CompressionRqVqa(**branches, loss=GroupLoss())
    score = model.score({name: torch.randn(2, count, 3) for count, name in enumerate(branches, start=1)})
    assert score.shape == (2,)
    assert model.quality[0].in_features == 15
