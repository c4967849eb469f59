"""Which files the aesthetic branch takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cvqa_models.branches.convnext3d import ConvNeXt3DMap
from cvqa_models.nn.convnext3d import ConvNeXt3D
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View

TINY = {"view": View(Spliced(UniformClips(3, 2, 2)), Resize(32, 32)), "depths": (1, 2), "dims": (4, 8)}


def test_takes_its_part_of_a_cover_checkpoint(tmp_path: Path) -> None:
    source, path = ConvNeXt3D(depths=(1, 2), dims=(4, 8)), tmp_path / "COVER.pth"
    state = {f"aesthetic_backbone.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state | {"technical_head.fc_hid.bias": torch.zeros(1)}}, path)
    torch.testing.assert_close(ConvNeXt3DMap(str(path), **TINY).net.state_dict(), source.state_dict())


def test_inflates_the_weights_of_an_image_network(tmp_path: Path) -> None:
    source, path = ConvNeXt3D(depths=(1, 2), dims=(4, 8)), tmp_path / "convnext.pth"
    flat = {key: value.mean(2) if value.ndim == 5 else value for key, value in source.state_dict().items()}
    torch.save({"model": flat | {"head.weight": torch.zeros(1, 8), "head.bias": torch.zeros(1)}}, path)
    net = ConvNeXt3DMap(str(path), **TINY).net
    torch.testing.assert_close(net.stages[1][1].dwconv.weight.sum(2), flat["stages.1.1.dwconv.weight"])
    assert net.stages[1][1].dwconv.weight.shape[2] == 3


def test_a_key_of_neither_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"1 unexpected \(layer.weight\)"):
        ConvNeXt3DMap(str(path), **TINY)


def test_a_part_that_no_checkpoint_has_is_refused() -> None:
    with pytest.raises(ValueError, match="`part` is 'semantic'; expected 'technical' or 'aesthetic'"):
        ConvNeXt3DMap(depths=(1,), dims=(4,), part="semantic")
