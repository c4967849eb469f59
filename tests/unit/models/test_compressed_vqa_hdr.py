"""CompressedVQA-HDR: what is reported, what learns, and what its files must hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cvqa_models.branches.clip import Clip
from cvqa_models.branches.swin_similarity import SwinSimilarity
from cvqa_models.models.compressed_vqa_hdr import HEADS, CompressedVqaHdr, CompressedVqaHdrFr
from cvqa_models.training.checkpoint import load_model, to_bytes
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop
from cvqa_models.video.view import View

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16}
TOWER = {"name": "ViT-B-16", "num_clips": 2, "dim": 16, "vision": VISION}
PAIRS = View(KeyFrames(2), Crop(64, short=64), with_reference=True)
STAGES = {"width": 8, "depths": (1, 1), "heads": (1, 2), "view": PAIRS}
NUMBERS = [80.0, 20.0, 0.5, 0.3]


def alone(weights: Path | None = None, curve: Path | None = None) -> CompressedVqaHdr:
    name, path = (None if file is None else str(file) for file in (weights, curve))
    tower = Clip(weights=name, prefix="feature_extraction.", **TOWER)
    return CompressedVqaHdr(tower, weights=name, rescale_path=path).eval()


def beside(weights: Path | None = None) -> CompressedVqaHdrFr:
    name = None if weights is None else str(weights)
    return CompressedVqaHdrFr(SwinSimilarity(name, **STAGES), weights=name).eval()


def published(model: CompressedVqaHdr) -> dict[str, Tensor]:
    """Return the state of a model under the names of its authors."""
    tower = {f"feature_extraction.{key}": value for key, value in model.branches["frames"].net.state_dict().items()}
    return tower | dict(model.heads.state_dict())


def published_beside(model: CompressedVqaHdrFr) -> dict[str, Tensor]:
    state = {"mean": torch.zeros(1, 3, 1, 1), "std": torch.ones(1, 3, 1, 1)}
    state |= {"norm.weight": torch.ones(16), "norm.bias": torch.ones(16)}
    for key, value in model.branches["similarity"].net.state_dict().items():
        index = int(key.split(".")[1])
        state[key.replace("features.", f"feature_extraction_stage{index // 2 + 1}.")] = value
    state |= {f"quality.{key}": value for key, value in model.quality.state_dict().items()}
    return {f"module.{key}": value for key, value in state.items()}


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    np.save(tmp_path / "curve.npy", np.array(NUMBERS))
    return tmp_path / "curve.npy"


def test_the_first_head_is_reported_on_the_curve_and_the_others_beside_it(curve: Path) -> None:
    model = alone(curve=curve)
    tokens = {"frames": torch.randn(3, 4, 16)}
    means = {name: frames.mean(1) for name, frames in model.maps(tokens).items()}
    raw, details = means["quality1"].detach().numpy(), model.details(tokens)
    assert list(details) == ["raw", *HEADS[1:]]
    assert all(torch.equal(details[name], means[name]) for name in HEADS[1:])
    assert np.array_equal(details["raw"].detach().numpy(), raw)
    high, low, middle, width = NUMBERS
    expected = low + (high - low) / (1 + np.exp(-(raw - middle) / abs(width)))
    assert model.score(tokens).detach().numpy() == pytest.approx(expected, rel=1e-5)


def test_the_first_head_alone_learns() -> None:
    model = alone()
    learning = {name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad and "heads" in name}
    assert learning == {"quality1"}


def test_a_checkpoint_holds_the_curve(curve: Path, tmp_path: Path) -> None:
    model = alone(curve=curve)
    tower = {"class_path": "cvqa_models.branches.clip.Clip", "init_args": TOWER}
    config = {"class_path": "cvqa_models.models.compressed_vqa_hdr.CompressedVqaHdr"}
    config["init_args"] = {"frames": tower, "rescale_path": curve.name}
    (tmp_path / "model.ckpt").write_bytes(to_bytes(model, config))
    curve.unlink()
    loaded = load_model(tmp_path / "model.ckpt")
    tokens = {"frames": torch.randn(3, 4, 16)}
    assert torch.equal(loaded.score(tokens), model.score(tokens))


def test_one_file_fills_tower_and_heads(tmp_path: Path) -> None:
    model = alone()
    torch.save(published(model), tmp_path / "nr.pth")
    loaded = alone(tmp_path / "nr.pth")
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_one_file_fills_stages_and_head(tmp_path: Path) -> None:
    model = beside()
    torch.save(published_beside(model), tmp_path / "fr.pth")
    loaded = beside(tmp_path / "fr.pth")
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_the_other_variant_is_refused_by_its_keys(tmp_path: Path) -> None:
    torch.save(published(alone()), tmp_path / "nr.pth")
    torch.save(published_beside(beside()), tmp_path / "fr.pth")
    with pytest.raises(ValueError, match=r"fr\.pth' do not fit VisionTransformer: no key begins with 'feature_ext"):
        alone(tmp_path / "fr.pth")
    with pytest.raises(ValueError, match=r"nr\.pth' do not fit SwinTransformer: keys .* unexpected \(feature_ext"):
        beside(tmp_path / "nr.pth")
    # One head, as the authors' class for a single data set has it.
    single = {key: value for key, value in published(alone()).items() if not key.startswith("quality")}
    torch.save(single | {"quality.0.weight": torch.zeros(128, 16)}, tmp_path / "single.pth")
    with pytest.raises(ValueError, match=r"missing \(quality1\.0\.weight, .* 1 unexpected \(quality\.0\.weight\)"):
        alone(tmp_path / "single.pth")


def test_equal_frames_are_alike_and_their_order_does_not_count() -> None:
    branch = beside().branches["similarity"]
    frames = torch.randint(0, 256, (1, 2, 6, 1, 64, 64), dtype=torch.uint8)
    swapped = torch.cat([frames[:, :, 3:], frames[:, :, :3]], dim=2)
    assert torch.equal(branch.tokens(frames), branch.tokens(swapped))
    same = branch.tokens(torch.cat([frames[:, :, :3]] * 2, dim=2))
    assert (same - 1).abs().max() < 1e-3
    assert branch.tokens(frames).min() < 0.9
