"""The two networks of the compression level side by side, against each alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cvqa_models.branches.compression_damage import CompressionDamage
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.branches.efficientnet_lite_stats import EfficientNetLiteStats
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View

VIEW = View(UniformClips(2, 2), NativePatches((1, 2), 64))


def test_tokens_are_those_of_both_networks(tmp_path: Path) -> None:
    alone = View(UniformClips(2, 1), VIEW.pixels)
    still = EfficientNetLiteStats("tf_efficientnet_lite0.in1k", view=alone, frozen=True).eval()
    file = str(tmp_path / "still.safetensors")
    save_file({f"branches.level.net.{key}": value for key, value in still.net.state_dict().items()}, file)
    pair = CompressionLevel("compression_level", view=VIEW, frozen=True).eval()
    both = CompressionDamage(pair="compression_level", still=file, view=VIEW, frozen=True).eval()
    x = torch.randint(0, 256, (2, 2, 3, 2, 64, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(both.tokens(x), torch.cat([pair.tokens(x), still.tokens(x[:, :, :, :1])], 2))
    assert both.dim == pair.dim + still.dim


def test_the_shipped_file_is_of_both_and_stands_alone() -> None:
    shipped = CompressionDamage("compression_damage", frozen=True)
    for name, tensor in CompressionLevel("compression_level").net.state_dict().items():
        assert torch.equal(shipped.net.pair.state_dict()[name], tensor), name
    with pytest.raises(ValueError, match="`weights` hold both networks; leave `pair` and `still` out"):
        CompressionDamage("compression_damage", pair="compression_level")
