"""Every tiny system, on real encodes: fit, predict one row per video, evaluate."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from cvqa_models.cli import run_cli
from cvqa_models.commands.evaluate import evaluate
from cvqa_models.data.submission import read_predictions

ROOT = Path(__file__).resolve().parents[2]
TINY = sorted((ROOT / "configs" / "tiny").glob("*.yaml"))
SOURCES = ("testsrc2", "mandelbrot", "gradients", "cellauto")
CRFS = (20, 32, 40, 48)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sources at four rates; the label is the rate's rank."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for source in SOURCES:
        for rank, crf in enumerate(reversed(CRFS)):
            path = folder / f"{source}_{crf}.mp4"
            encode = f"-v error -f lavfi -i {source}=size=320x180:rate=25 -t 1.2 -c:v libx264 -preset ultrafast"
            options = [*encode.split(), "-crf", str(crf), "-pix_fmt", "yuv420p", str(path)]
            subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *options], check=True)
            rows.append({"video_id": path.stem, "path": path, "reference": source, "group": source, "mos": rank})
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def words(stage: str, config: Path, table: Path, run: Path, *more: str) -> list[str]:
    return [
        stage,
        f"--config={config}",
        f"--config={ROOT / 'configs/data/folder.yaml'}",
        f"--config={ROOT / 'configs/trainer/cpu.yaml'}",
        f"--data.source.init_args.path={table}",
        "--data.split.val=[gradients]",
        "--data.split.test=[cellauto]",
        "--data.store=null",
        "--data.num_workers=0",
        "--data.videos_per_group=4",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        "--trainer.limit_train_batches=1",
        f"--run={run}",
        *more,
    ]


@pytest.mark.parametrize("config", TINY, ids=lambda path: path.stem)
def test_a_system_fits_and_predicts(config: Path, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_cli(words("fit", config, table, run, "--trainer.max_epochs=1"))
    run_cli(words("predict", config, table, run, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"))
    scores = read_predictions(run / "predictions.csv")
    assert set(scores) == {f"cellauto_{crf}" for crf in CRFS}
    result = evaluate(table, predictions=[run / "predictions.csv"], min_srocc=4, min_plcc=4, min_krocc=4, bootstrap=0)
    assert result["videos"] == 4
    assert (run / "logs" / "config.yaml").is_file()


def test_a_run_folder_is_not_overwritten(table: Path, tmp_path: Path) -> None:
    config = ROOT / "configs/tiny/rankiqa.yaml"
    (tmp_path / "logs").mkdir()
    with pytest.raises(ValueError, match="already holds a run"):
        run_cli(words("fit", config, table, tmp_path))


def test_the_command_line_beats_the_checkpoint(table: Path, tmp_path: Path) -> None:
    config = ROOT / "configs/tiny/rankiqa.yaml"
    run_cli(words("fit", config, table, tmp_path / "run", "--trainer.max_epochs=1", "--model.recipe.lr_head=0.5"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    bare = [word for word in words("validate", config, table, tmp_path / "run") if not word.endswith("rankiqa.yaml")]
    kept = run_cli([*bare, f"--ckpt_path={last}"])
    changed = run_cli([*bare, f"--ckpt_path={last}", "--model.init_args.recipe.lr_head=0.25"])
    assert (kept.model.recipe.lr_head, changed.model.recipe.lr_head) == (0.5, 0.25)
