"""Clips that are equal are computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.inputs import in_turns


def test_a_clip_that_repeats_the_one_before_is_computed_once() -> None:
    still, other = torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)
    x = torch.stack([torch.stack([still, still, other, still]), torch.stack([still, other, other, other])])
    seen = []

    def net(clips: Tensor) -> Tensor:
        seen.append(len(clips))
        return clips.flatten(1).mean(1, keepdim=True).repeat(1, 5)

    assert torch.equal(in_turns(net, x, 1), x.flatten(2).mean(2, keepdim=True).repeat(1, 1, 5))
    # Of 0 0 1 0 | 0 1 1 1, the first, third, fourth and sixth differ from what stands before them.
    assert seen == [1, 1, 1, 1]
    in_turns(net, x, None)
    assert seen[4:] == [8]
