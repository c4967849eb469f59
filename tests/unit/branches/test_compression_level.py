"""What the compression level sees of its patches in training and in evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View

PATCH, WINDOW = 12, 7


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The patches that a branch's network was given."""
    patches: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        patches.append(x)
        return x.float().mean((1, 2, 3, 4, 5)).unsqueeze(1)

    monkeypatch.setattr("cvqa_models.nn.compression_level.CompressionLevelNet.forward", lambda _, x: forward(x))
    return patches


def counted(videos: int) -> Tensor:
    """Return clips of 1 x 2 patches, every pixel of a patch with a number of its own, the same in all videos."""
    patch = torch.arange(PATCH * PATCH).view(PATCH, PATCH)
    return torch.cat([patch, patch], dim=1).expand(videos, 1, 3, 2, PATCH, 2 * PATCH)


def test_training_sees_one_square_of_all_patches_turned_anew_in_each_step(seen: list[Tensor]) -> None:
    branch = CompressionLevel(
        width=8, view=View(UniformClips(1, 2, random=True), NativePatches((1, 2), PATCH, random=True)), window=WINDOW
    ).train()
    x = counted(3)
    whole = x[0, 0, 0, 0, :, :PATCH]
    corners, turned = set(), set()
    for step in range(200):
        branch.seeds = torch.full((3,), step)
        branch.tokens(x)
        square = seen[-1][0, 0, 0, 0]
        assert seen[-1].shape == (3, 2, 3, 2, WINDOW, WINDOW)
        assert torch.equal(seen[-1], square.expand_as(seen[-1]))
        top, left = divmod(int(square.min()), PATCH)
        straight = whole[top : top + WINDOW, left : left + WINDOW]
        assert torch.equal(square.flatten().sort().values, straight.flatten())
        corners.add((top, left))
        turned.add(tuple((square - square.min()).flatten().tolist()))
    assert len(corners) == (PATCH - WINDOW + 1) ** 2
    assert len(turned) == 8


def test_videos_of_other_seeds_are_cut_elsewhere_and_few_at_a_time_like_all(seen: list[Tensor]) -> None:
    branch = CompressionLevel(
        width=8, view=View(UniformClips(1, 2), NativePatches((1, 2), PATCH)), window=WINDOW
    ).train()
    seeds, x = torch.tensor([4, 5, 4]), counted(3)
    branch.seeds = seeds
    branch.tokens(x)
    assert torch.equal(seen[0][0], seen[0][2])
    assert not torch.equal(seen[0][0], seen[0][1])
    for row in range(3):
        branch.seeds = seeds[row : row + 1]
        branch.tokens(x[row : row + 1])
        assert torch.equal(seen[-1][0], seen[0][row])


@pytest.mark.parametrize("training", [True, False])
def test_the_whole_patch_is_seen_in_evaluation_and_without_a_window(training: bool, seen: list[Tensor]) -> None:
    window = None if training else WINDOW
    branch = CompressionLevel(
        width=8, view=View(UniformClips(1, 2, random=True), NativePatches((1, 2), PATCH, random=True)), window=window
    ).train(training)
    branch.seeds = torch.tensor([0])
    branch.tokens(counted(1))
    assert torch.equal(seen[0][0, 1, 0, 0], counted(1)[0, 0, 0, 0, :, PATCH:])


@pytest.mark.parametrize("window", [0, 13])
def test_a_window_that_fits_no_patch_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"`window` is {window}; expected 1 to 12, the size of a patch of the view"):
        CompressionLevel(view=View(UniformClips(1, 2), NativePatches((1, 2), 12)), window=window)
