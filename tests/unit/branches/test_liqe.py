"""LIQE's windows and what it refuses."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.branches.liqe import Liqe, window_places


def test_logits_are_the_mean_over_windows() -> None:
    torch.manual_seed(0)
    branch = Liqe(num_clips=1, window=64, width=16, depth=1, heads=2).eval()
    frame = torch.randint(0, 256, (1, 1, 3, 1, 96, 128), dtype=torch.uint8)
    with torch.no_grad():
        whole = branch.tokens(frame)
        windows = [frame[..., y : y + 64, x : x + 64] for y, x in window_places(96, 128, 64)]
        torch.testing.assert_close(whole, torch.stack([branch.tokens(window) for window in windows]).mean(0))


def test_windows_lie_inside_the_frame() -> None:
    places = window_places(1080, 1920)
    assert len(set(places)) == 15
    assert max(y for y, _ in places) <= 1080 - 224
    assert max(x for _, x in places) <= 1920 - 224


def test_rejects_a_frame_below_a_window() -> None:
    with pytest.raises(ValueError, match=r"A frame of 300x200 is smaller than LIQE's window"):
        window_places(200, 300)
