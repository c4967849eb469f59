"""MinimalisticVQA: its formula, with and without motion, and what its file must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cvqa_models.branches.slowfast import SlowFast
from cvqa_models.branches.torchvision_swin import TorchvisionSwin
from cvqa_models.branches.views import key_frame_view
from cvqa_models.models.minimalistic_vqa import SPATIAL, MinimalisticVqa
from cvqa_models.video.frame_rules import Chunks
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

SIZES = {"width": 8, "depths": (1, 1), "heads": (1, 2), "view": key_frame_view(2, size=32)}


def system(weights: Path | None = None, *, moving: bool = True) -> MinimalisticVqa:
    name = None if weights is None else str(weights)
    motion = SlowFast(view=View(Chunks(2, 4), Resize(32, 32)), depth=(1, 1, 1, 1), width=4, ratio=2, frozen=True)
    spatial = TorchvisionSwin(name, prefix=SPATIAL, **SIZES)
    return MinimalisticVqa(spatial, motion if moving else None, weights=name).eval()


def published(model: MinimalisticVqa) -> dict[str, Tensor]:
    """Return the state of a model under the names of its authors, whose file has no motion network."""
    parts = {SPATIAL: model.branches["spatial"].net, "quality.": model.quality}
    return {f"{part}{key}": value for part, net in parts.items() for key, value in net.state_dict().items()}


@pytest.mark.parametrize("moving", [True, False])
def test_a_score_is_the_mean_of_linear_scores_of_frames(moving: bool) -> None:
    model = system(moving=moving)
    tokens = {name: torch.randn(3, 4, branch.dim) for name, branch in model.each_branch().items()}
    assert list(tokens) == ["spatial", "motion"][: 1 + moving]
    joined = torch.cat(list(tokens.values()), dim=2)
    first, second = model.quality
    expected = ((joined @ first.weight.T + first.bias) @ second.weight.T + second.bias).mean(dim=(1, 2))
    torch.testing.assert_close(model.score(tokens), expected)
    assert model.details(tokens) == {}


def test_one_file_fills_network_and_head(tmp_path: Path) -> None:
    model = system()
    torch.save(published(model), tmp_path / "ix.pth")
    loaded = published(system(tmp_path / "ix.pth"))
    assert all(torch.equal(value, loaded[key]) for key, value in published(model).items())


def test_the_variant_without_motion_is_refused_by_its_shape(tmp_path: Path) -> None:
    torch.save(published(system(moving=False)), tmp_path / "vii.pth")
    with pytest.raises(ValueError, match=r"1 of another shape \(0\.weight \(128, 16\) for \(128, 80\)\)"):
        system(tmp_path / "vii.pth")
    assert system(tmp_path / "vii.pth", moving=False).quality[0].in_features == 16
