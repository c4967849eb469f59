"""Where the weights of Swin and of the attention on top come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cvqa_models.branches.swin_attention import SwinAttention
from cvqa_models.branches.views import key_frame_view

TINY = {
    "name": "swin_tiny_patch4_window7_224",
    "view": key_frame_view(size=32),
    "args": {"embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 4},
    "head_dim": 4,
}


def test_weights_of_the_swin_alone_leave_the_attention_new(tmp_path: Path) -> None:
    source, path = SwinAttention(**TINY), tmp_path / "swin.pt"
    torch.save(source.net.state_dict(), path)
    loaded = SwinAttention(weights=str(path), **TINY)
    torch.testing.assert_close(loaded.net.state_dict(), source.net.state_dict())
    assert all(torch.count_nonzero(block.net[8].weight) == 0 for block in loaded.attention.net)
    assert {part: one.random for part, one in loaded.sources.items()} == {"net": False, "attention": True}
    frozen = SwinAttention(weights=str(path), frozen=True, **TINY)
    assert not frozen.lies_in_files  # the attention is in no file


def test_a_damaged_checkpoint_names_the_missing_key(tmp_path: Path) -> None:
    source, path = SwinAttention(**TINY), tmp_path / "rqvqa.pth"
    state = {f"feature_extraction.feature_extraction.{key}": value for key, value in source.net.state_dict().items()}
    state |= {f"bot4.{key}": value for key, value in source.attention.state_dict().items()}
    del state["bot4.net.1.net.0.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"1 missing \(net\.1\.net\.0\.weight\)"):
        SwinAttention(weights=str(path), **TINY)
