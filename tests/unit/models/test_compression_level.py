"""The compression level: its scale, its time, and the file that ships with the project."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvqa_models.branches.compression_damage import CompressionDamage
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.files import sha256
from cvqa_models.inference.bulk import made_by
from cvqa_models.inference.load import load
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_level import CompressionLevelModel, shipped_model
from cvqa_models.models.shipped_level import WEIGHTS, shipped_level
from cvqa_models.nn.group_ridge import GroupRidge
from cvqa_models.training.calibration import Calibration
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.reader import ReadOptions
from cvqa_models.video.view import View
from cvqa_models.weights import files
from cvqa_models.weights.exact import digest
from tests.unit.training.test_module import make_batch

CHECKPOINTS = Path(__file__).resolve().parents[3] / "checkpoints"


def test_levels_lie_between_0_and_100_and_the_score_is_their_mean() -> None:
    model = CompressionLevelModel(CompressionLevel(width=8), GroupLoss())
    tokens = 50 * torch.randn(3, 5, 48, generator=torch.Generator().manual_seed(0))
    levels = model.levels(tokens)
    assert levels.shape == (3, 5)
    assert ((levels >= 0) & (levels <= 100)).all()
    torch.testing.assert_close(model.score({"level": tokens}), levels.mean(1))


def test_standardised_levels_start_at_the_mean_label_of_the_videos_that_train() -> None:
    model = CompressionLevelModel(CompressionLevel(width=8), GroupLoss(), hidden=None, norm="standard")
    tokens = torch.randn(6, 5, 48, generator=torch.Generator().manual_seed(0))
    batch = replace(make_batch(6), features={"level": tokens}, mos=torch.linspace(40, 90, 6))
    batch.weight[0], batch.mos[1] = 0, float("nan")
    model.fit_inputs([batch.select(slice(0, 3)), batch.select(slice(3, 6))])
    used = tokens[2:].mean(1)
    torch.testing.assert_close(model.head.norms[0].mean, used.mean(0))
    torch.testing.assert_close(model.head.norms[0].deviation, used.std(0, correction=0))
    torch.nn.init.zeros_(model.head.last.weight)
    torch.testing.assert_close(model.levels(tokens), torch.full((6, 5), float(batch.mos[2:].mean())))


def test_a_head_from_a_file_keeps_its_statistics() -> None:
    model, batch = shipped_model(), make_batch(6)
    model.fit_inputs([replace(batch, features={"level": torch.randn(6, 5, model.branches["level"].dim)})])
    for key, tensor in shipped_model().head.state_dict().items():
        assert torch.equal(model.head.state_dict()[key], tensor)


def test_the_shipped_file_is_small_and_its_card_states_its_digest_and_its_study_the_recipe() -> None:
    file = files.resolve(WEIGHTS)
    assert file.parent == CHECKPOINTS
    assert file.stat().st_size <= 8 * 2**20
    assert sum(parameter.numel() for parameter in shipped_model().parameters()) <= 2_000_000
    card = (CHECKPOINTS / "compression_damage.md").read_text()
    assert sha256(file) in card
    for word in ("cvqa build levels", "not human opinion", "docs/studies/compression-level.md"):
        assert word in card
    study = (CHECKPOINTS.parent / "docs/studies/compression-level.md").read_text()
    for word in ("cvqa build levels", "train.py fit", "seconds", "seed"):
        assert word in study


def test_the_shipped_model_is_frozen_and_draws_nothing() -> None:
    model = shipped_model()
    assert not model.training
    assert not model.demands["level"].view.random


def test_a_trained_branch_starts_from_the_shipped_weights() -> None:
    torch.manual_seed(0)
    view = View(UniformClips(2, 2, random=True), NativePatches((1, 2), 112, random=True))
    branch = CompressionDamage(WEIGHTS, view=view)
    for name, parameter in branch.net.named_parameters():
        assert torch.equal(parameter, shipped_model().state_dict()[f"branches.level.net.{name}"])
        assert parameter.requires_grad


def test_an_install_without_the_file_says_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    monkeypatch.delenv("CVQA_WEIGHTS", raising=False)
    with pytest.raises(FileNotFoundError, match=r"comes with this project; .* set CVQA_WEIGHTS to that folder"):
        shipped_model()
    monkeypatch.setenv("CVQA_WEIGHTS", str(CHECKPOINTS))
    assert shipped_model()


def test_the_shipped_model_is_the_one_that_learnt() -> None:
    learnt, shipped = shipped_model(), shipped_level()
    assert list(shipped.state_dict()) == list(learnt.state_dict())
    assert digest(shipped) == digest(learnt)
    assert {"head": learnt.sources["head"]} == dict(shipped.sources)
    tokens = {"level": 3 * torch.rand(2, 8, shipped.branches["level"].dim)}
    assert torch.equal(shipped.score(tokens), learnt.score(tokens))


def test_levels_follow_the_curve_of_their_file(tmp_path: Path) -> None:
    curve = Calibration((0.0, 100.0), (10.0, 60.0), 7.0, 0.9, 12, (0.0, 100.0))
    state, video = shipped_level().state_dict(), torch.randint(0, 256, (3, 160, 240, 3), dtype=torch.uint8)
    save_file(state, tmp_path / "plain.safetensors")
    save_file(state, tmp_path / "curved.safetensors", {"calibration": json.dumps(curve.plain())})
    plain, curved = (load(weights=tmp_path / f"{name}.safetensors", device="cpu") for name in ("plain", "curved"))
    raw, level = plain(video, fps=25.0), curved(video, fps=25.0)
    assert (level.value, *level.interval) == curve(raw.value)
    assert dict(raw.details) == {}
    assert plain.name == curved.name == "compression_level"
    assert made_by(plain, "cpu") != made_by(curved, "cpu")


@pytest.mark.parametrize("curve", ["{", "[]", '{"raw": [0, 1]}'])
def test_a_curve_that_is_none_is_refused_by_name(tmp_path: Path, curve: str) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(shipped_level().state_dict(), path, {"calibration": curve})
    with pytest.raises(ValueError, match=r"the curve in weights '.*mine.safetensors' cannot be read"):
        shipped_level(str(path))


def test_a_linear_head_can_start_by_regression() -> None:
    rng = torch.Generator().manual_seed(0)
    branch = CompressionLevel(width=8, frozen=True)
    model = CompressionLevelModel(branch, GroupLoss(), hidden=None, norm="standard", ridge=GroupRidge(1e-3, 0.3))
    batches = []
    for number in range(4):
        batch = make_batch(videos=8, groups=1)
        tokens = torch.randn(8, 2, branch.dim, generator=rng)
        batch.features["level"], batch.group_name = tokens, [f"g{number}"] * 8
        batch.mos = 100 * (0.5 * tokens.mean(1)[:, 0] + 0.3 * number).sigmoid()
        batches.append(batch)
    model.fit_inputs(batches)
    for batch in batches:
        found = model.score(batch.features)
        assert torch.corrcoef(torch.stack([found, batch.mos]))[0, 1] > 0.95


@pytest.mark.parametrize(("hidden", "norm"), [(8, "standard"), (None, "layer")])
def test_only_a_linear_head_starts_by_regression(hidden: int | None, norm: Literal["layer", "standard"]) -> None:
    with pytest.raises(ValueError, match="`ridge` is for a linear head"):
        CompressionLevelModel(CompressionLevel(width=8), hidden=hidden, norm=norm, ridge=GroupRidge())


def test_a_video_unlike_those_of_training_has_a_note() -> None:
    model = shipped_level()
    usual = model.head.norms[0].mean.expand(1, 8, -1)
    assert model.notes({"level": usual}) == ()
    (note,) = model.notes({"level": usual + 4 * model.head.norms[0].deviation})
    assert note.startswith("unlike the level's training videos")


@pytest.mark.parametrize(
    ("height", "width", "fps", "words"),
    [
        (1080, 1920, 25.0, []),
        (320, 180, 59.94, []),
        (178, 320, 30.0, ["smaller (320x178)"]),
        (2160, 176, 9.2, ["smaller (176x2160)", "slower (9.2 fps)"]),
        (1080, 1920, 120.0, ["faster (120 fps)"]),
        (512, 512, 0.0, []),
    ],
)
def test_a_size_or_rate_beyond_those_of_training_has_a_note(
    height: int, width: int, fps: float, words: list[str]
) -> None:
    found = shipped_level().unusual(height, width, fps)
    assert list(found) == [f"{word} than the level's training videos" for word in words]


def test_the_note_is_of_the_size_that_is_watched() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 144, 192, 3), dtype=np.uint8)
    small, shown = (load(device="cpu", reading=ReadOptions(display=lines))(frames, fps=25) for lines in (None, 360))
    assert any(note.startswith("smaller") for note in small.notes)
    assert not any(note.startswith("smaller") for note in shown.notes)
    still = load(device="cpu")(frames[:1], fps=1)
    assert not any(note.startswith("slower") for note in still.notes)


def test_the_shipped_model_needs_nothing_of_training() -> None:
    heavy = ("pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "transformers", "sympy")
    code = (
        "import cvqa_models, sys; cvqa_models.load(device='cpu'); print([n for n in sys.argv[1:] if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
