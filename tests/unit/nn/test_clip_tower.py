"""CLIP's image tower against open_clip's, in a tiny configuration."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import nn

from cvqa_models.nn.clip_tower import ClipTower
from cvqa_models.weights.exact import load_exact

TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


@pytest.fixture
def theirs() -> nn.Module:
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "width": 16, "layers": 3, "head_width": 8}
    return open_clip.CLIP(12, vision, TEXT, quick_gelu=True).visual.eval()


def test_embedding(theirs: nn.Module) -> None:
    ours = ClipTower(width=16, depth=3, heads=2, patch=8, dim=12, side=32)
    load_exact(ours, theirs.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_without_positions_only_the_patches_count(theirs: nn.Module) -> None:
    ours = ClipTower(width=16, depth=3, heads=2, patch=8, dim=12, side=None)
    load_exact(ours, theirs.state_dict(), unused=("positional_embedding",))
    x = torch.randn(1, 3, 40, 48)
    moved = torch.roll(x, (8, 16), dims=(2, 3))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), ours(moved), rtol=1e-4, atol=1e-5)
        assert (ours(x) - ours(torch.roll(x, 4, dims=3))).abs().max() > 1e-3
        nn.init.zeros_(theirs.positional_embedding)
        torch.testing.assert_close(ours(x[..., :32, :32]), theirs(x[..., :32, :32]))
