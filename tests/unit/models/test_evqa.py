"""E-VQA: the mean over frames, and what a file of weights must hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cvqa_models.branches.torchvision_swin import TorchvisionSwin, swin_transformer
from cvqa_models.branches.views import key_frame_view
from cvqa_models.models.evqa import AESTHETIC, DISTORTION, Evqa

SIZES = {"width": 8, "depths": (1, 1), "heads": (1, 2), "view": key_frame_view(2, size=32)}


def system(weights: Path | None = None) -> Evqa:
    name = None if weights is None else str(weights)
    branches = [TorchvisionSwin(name, prefix=prefix, **SIZES) for prefix in (AESTHETIC, DISTORTION)]
    return Evqa(*branches, weights=name).eval()


def published(model: Evqa, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return the state of a model under the names of its authors."""
    parts = {AESTHETIC: model.branches["aesthetic"].net, DISTORTION: model.branches["distortion"].net}
    parts["quality."] = model.quality
    return {f"{prefix}{part}{key}": value for part, net in parts.items() for key, value in net.state_dict().items()}


def test_a_score_is_the_mean_of_its_frames() -> None:
    model = system()
    tokens = {name: torch.randn(3, 4, 16) for name in model.branches}
    frames = model.maps(tokens)["quality"]
    assert frames.shape == (3, 4)
    torch.testing.assert_close(model.score(tokens), frames.mean(1))
    torch.testing.assert_close(
        frames[0, 0], model.quality(torch.cat([tokens["aesthetic"][0, 0], tokens["distortion"][0, 0]]))[0]
    )


@pytest.mark.parametrize("prefix", ["", "module."])
def test_one_file_fills_both_branches_and_the_head(tmp_path: Path, prefix: str) -> None:
    model = system()
    torch.save(published(model, prefix), tmp_path / "evqa.pth")
    loaded = system(tmp_path / "evqa.pth")
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_a_file_of_another_variant_is_refused_by_its_keys(tmp_path: Path) -> None:
    """The authors' UIQA has a third trunk, for salient patches."""
    state = published(system())
    state["saliency_feature_extraction.norm.weight"] = torch.ones(16)
    torch.save(state, tmp_path / "uiqa.pth")
    with pytest.raises(ValueError, match=r"1 unexpected \(saliency_feature_extraction.norm.weight\)"):
        system(tmp_path / "uiqa.pth")


def test_refuses_a_network_that_torchvision_cannot_build() -> None:
    with pytest.raises(ValueError, match=r"`depths` are \[1\] and `heads` \[1\]; expected .* two blocks or more"):
        swin_transformer(8, (1,), (1,), 0.0)
    with pytest.raises(ValueError, match="one number of each for every stage"):
        swin_transformer(8, (1, 1), (1,), 0.0)
