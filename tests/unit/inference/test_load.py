"""Whatever names a trained model becomes a scorer, and what names none is told from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from cvqa_models.inference.load import load
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.nn.uvq import UvqAggregation
from cvqa_models.shipped import CONFIGS
from cvqa_models.training.checkpoint import to_bytes
from cvqa_models.weights.exact import digest
from cvqa_models.weights.files import resolve


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose best checkpoint is not its last one."""
    folder = tmp_path_factory.mktemp("runs") / "ms_ssim"
    level = {"class_path": "cvqa_models.branches.compression_damage.CompressionDamage"}
    level["init_args"] = {"weights": "compression_damage", "frozen": True}
    arguments = {"level": level, "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"}, "hidden": None}
    config = {"class_path": "cvqa_models.models.compression_level.CompressionLevelModel", "init_args": arguments}
    model = shipped_model()
    for number, name in enumerate(("best", "last")):
        model.head.last.bias.data.fill_(number)
        path = folder / "checkpoints" / f"{name}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_bytes(model, {**config, "init_args": {**arguments, "norm": "standard"}}))
    return folder


def bias(name: str | Path) -> float:
    return load(name, device="cpu").model.head.last.bias.item()


def test_a_run_stands_for_its_best_checkpoint(run: Path) -> None:
    assert (bias(run), bias(run / "checkpoints" / "last.ckpt")) == (0, 1)
    assert bias(str(run)) == 0
    (run / "checkpoints" / "best.ckpt").rename(run / "b")
    assert bias(run) == 1
    (run / "b").rename(run / "checkpoints" / "best.ckpt")


def test_a_name_is_a_name_and_a_path_a_path(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    assert type(load("ms_ssim").model).__name__ == "MsSsim"
    assert bias(Path("ms_ssim")) == bias("./ms_ssim") == 0


def test_the_shipped_level_is_there_by_its_name_and_with_other_weights(run: Path) -> None:
    shipped = digest(shipped_model())
    assert load().weights == load("compression_level").weights == shipped
    assert load(weights=resolve("compression_damage")).weights == shipped
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        load(weights="gone.safetensors")
    with pytest.raises(ValueError, match="holds its own weights; leave `weights` out"):
        load(run, weights="other.safetensors")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ms_sim", r"There is no model 'ms_sim' \(near: 'ms_ssim'\); expected a checkpoint"),
        ("compresion_level", r"There is no model 'compresion_level' \(near: 'compression_level'\)"),
        (Path("ms_ssim"), r"There is no model 'ms_ssim'"),
        ("gone.ckpt", r"There is no checkpoint 'gone\.ckpt'"),
        ("gone.yaml", r"There is no configuration 'gone\.yaml'"),
        (".", r"'\.' holds no checkpoint of a run; give the folder that `train\.py fit` was given"),
    ],
)
def test_what_names_no_model(name: str | Path, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        load(name)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here(device: str) -> None:
    with pytest.raises(
        ValueError, match=rf"`device` is '{device}', which cannot be used here \(.+\); expected auto, cpu"
    ):
        load(device=device)


def test_a_system_that_is_to_be_trained_does_not_score() -> None:
    with pytest.raises(ValueError, match="MultiBranch is not trained; train it and give its checkpoint"):
        load(Path(__file__).parents[3] / "configs/tiny/flagship.yaml")


def test_a_frozen_branch_of_random_numbers_does_not_score(tmp_path: Path) -> None:
    config = yaml.safe_load((CONFIGS / "model" / "uvq.yaml").read_text())
    weights = UvqAggregation().state_dict()
    torch.save(weights, tmp_path / "head.pth")
    small = {"shrink": 4, "frozen": True}
    config["model"]["init_args"] |= {"weights": str(tmp_path / "head.pth")}
    for name in ("content", "distortion"):
        config["model"]["init_args"][name]["init_args"] = small
    (tmp_path / "uvq.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"Uvq is not trained; .* \(`content\.net` has no weights from a file\)"):
        load(tmp_path / "uvq.yaml")
