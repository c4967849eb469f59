"""Pre-training of the compression level from nothing: data, training, weights, a branch that starts from them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from cvqa_models.branches.compression import Compression
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.branches.efficientnet_lite_stats import EfficientNetLiteStats
from cvqa_models.commands.export import export
from cvqa_models.commands.extract import extract
from cvqa_models.commands.score import score
from cvqa_models.corpus.synthetic import levels
from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Scorer
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.training.calibration import Calibration
from cvqa_models.training.checkpoint import load_model, read_checkpoint
from cvqa_models.training.cli import run_cli
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View

PRETRAIN = Path(__file__).resolve().parents[2] / "configs" / "pretrain"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "FRAMES", 8)
        patch.setattr(levels, "SIZES", ((192, 176),))
        patch.setattr(levels, "LADDERS_PER_SCENE", 1)
        patch.setattr(levels, "LADDERS", {"x264": (("ultrafast",), 20, 50, 1.0)})
        return levels.build_levels(tmp_path_factory.mktemp("levels"), None, 4)[0]


def fit(config: str, manifest: Path, run: Path, *more: str) -> Path:
    run_cli(
        [
            "fit",
            f"--config={PRETRAIN / config}",
            f"--data.source.init_args.path={manifest}",
            "--data.split.val=0.25",
            "--trainer.accelerator=cpu",
            "--trainer.max_epochs=1",
            "--trainer.limit_train_batches=1",
            "--trainer.limit_val_batches=1",
            "--trainer.precision=32",
            "--trainer.check_val_every_n_epoch=1",
            "--trainer.log_every_n_steps=1",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            f"--run={run}",
            *more,
        ]
    )
    return run / "checkpoints" / "last.ckpt"


def test_the_compact_network(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--model.level.init_args.width=8", "--model.level.init_args.view.pixels.init_args.patch=64"]
    checkpoint = fit("compression_level.yaml", manifest, tmp_path / "run", *small)
    log = pd.read_csv(tmp_path / "run" / "logs" / "metrics.csv")
    assert log["val/plcc"].dropna().between(-1, 1).all()
    export(checkpoint, out=tmp_path / "w.safetensors")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    branch = CompressionLevel(str(tmp_path / "w.safetensors"), width=8)
    assert torch.equal(branch.net.stem[0].weight, state["branches.level.net.stem.0.weight"])
    first = str(tmp_path / "w.safetensors")
    start = [f"--model.weights={first}", f"--model.level.init_args.weights={first}", "--data.kept_draws=1"]
    window = "--model.level.init_args.window=48"
    second = fit("compression_level_order.yaml", manifest, tmp_path / "second", *small, *start, window)
    moved = torch.load(second, weights_only=True)["state_dict"]["head.last.weight"] - state["head.last.weight"]
    assert 0 < moved.abs().max() < 0.01, "the second stage goes on from the first"
    video = next((manifest.parent / "videos").rglob("*.mp4"))
    capsys.readouterr()
    score([video], checkpoint=checkpoint)
    assert capsys.readouterr().out.startswith("video,compression_level,notes\n")


def test_stages_of_efficientnet_start_from_imagenets_weights(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--model.level.init_args.window=48", "--model.level.init_args.view.pixels.init_args.patch=64"]
    checkpoint = fit("compression_level_lite.yaml", manifest, tmp_path / "run", *small, "--data.kept_draws=1")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    start = EfficientNetLiteStats("tf_efficientnet_lite0.in1k").net.state_dict()
    moved = [(state[f"branches.level.net.{key}"] - start[key]).abs().max() for key in start if "num_batches" not in key]
    assert 0 < max(moved) < 0.01
    export(checkpoint, out=tmp_path / "w.safetensors")
    branch = EfficientNetLiteStats(str(tmp_path / "w.safetensors"))
    assert torch.equal(branch.net.stages[0][0][0].weight, state["branches.level.net.stages.0.0.0.weight"])
    video = next((manifest.parent / "videos").rglob("*.mp4"))
    capsys.readouterr()
    score([video], checkpoint=checkpoint, maps=tmp_path / "maps")
    assert capsys.readouterr().out.startswith("video,compression_level,")
    assert len(list((tmp_path / "maps").glob("*.png"))) == 1


def test_a_new_head_on_the_fixed_network(manifest: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((PRETRAIN / "compression_level_head.yaml").read_text())
    torch.manual_seed(0)
    save_file(CompressionLevel(width=8).net.state_dict(), tmp_path / "net.safetensors")
    config["model"]["init_args"]["level"]["init_args"].update(weights=str(tmp_path / "net.safetensors"), width=8)
    config["data"]["source"]["init_args"]["path"] = str(manifest)
    config["data"]["store"] = str(tmp_path / "features")
    (tmp_path / "head.yaml").write_text(yaml.safe_dump(config))
    extract(config=[tmp_path / "head.yaml"])
    checkpoint = fit(str(tmp_path / "head.yaml"), manifest, tmp_path / "run")
    weights = str(tmp_path / "whole.safetensors")
    export(checkpoint, out=Path(weights), with_frozen=True)
    branch = CompressionLevel(weights, width=8, view=View(UniformClips(4, 2), NativePatches((2, 3), 112)), frozen=True)
    whole = CompressionLevelModel(branch, GroupLoss(), hidden=None, norm="standard", weights=weights).eval()
    video = next((manifest.parent / "videos").rglob("*.mp4"))
    scored = [Scorer(model, device="cpu")(video).value for model in (whole, load_model(checkpoint))]
    assert scored[0] == scored[1]
    assert whole.head.norms[0].deviation.min() > 0


def test_one_head_on_both_networks_with_a_curve_is_the_shipped_model(manifest: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((PRETRAIN / "compression_damage_head.yaml").read_text())
    config["data"]["source"]["init_args"]["path"] = str(manifest)
    config["data"]["store"] = str(tmp_path / "features")
    (tmp_path / "head.yaml").write_text(yaml.safe_dump(config))
    extract(config=[tmp_path / "head.yaml"])
    checkpoint = fit(str(tmp_path / "head.yaml"), manifest, tmp_path / "run")
    curve = Calibration((0.0, 100.0), (5.0, 95.0), 9.0, 0.9, 12, (0.0, 100.0))
    torch.save({**read_checkpoint(checkpoint), "calibration": curve.plain()}, tmp_path / "level.ckpt")
    export(tmp_path / "level.ckpt", out=tmp_path / "whole.safetensors", with_frozen=True)
    video = next((manifest.parent / "videos").rglob("*.mp4"))
    shipped = load(weights=tmp_path / "whole.safetensors", device="cpu")
    trained = Scorer(load_model(tmp_path / "level.ckpt"), device="cpu")
    trained.model.branches["level"].view = shipped.model.branches["level"].view  # of more moments than in training
    found = shipped(video)
    assert (found.value, *found.interval) == (trained(video).value, *trained(video).interval)


def test_uvqs_network(manifest: Path, tmp_path: Path) -> None:
    seen = "view.pixels.init_args"
    settings = ("net_width=0.05", "features=4", f"{seen}.height=96", f"{seen}.width=224")
    small = [f"--model.level.init_args.{setting}" for setting in settings]
    few = ["--data.groups_per_batch=1", "--data.videos_per_group=3", "--data.videos_at_once=2"]
    checkpoint = fit("compression_uvq.yaml", manifest, tmp_path / "run", *small, *few)
    branch = Compression(str(checkpoint), net_width=0.05, features=4)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(branch.net.final_conv3d.weight, state["branches.level.net.final_conv3d.weight"])
    assert branch.dim == 4 * 16  # of a picture of 1280 x 720, whatever the patches of training were
