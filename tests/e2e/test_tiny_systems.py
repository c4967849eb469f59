"""Every tiny system, on real encodes: fit, predict one row per video, score files alone and from a store, evaluate."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pandas as pd
import pytest
import torch
import yaml

from cvqa_models.branches.piq import MEASURES
from cvqa_models.commands.evaluate import evaluate
from cvqa_models.commands.extract import extract
from cvqa_models.commands.fit_mmf import fit_mmf
from cvqa_models.commands.score import score
from cvqa_models.data.predictions import read_predictions
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training.cli import run_cli
from cvqa_models.types import Batch

ROOT = Path(__file__).resolve().parents[2]
FINISHED = [ROOT / "configs" / "tiny" / f"{name}.yaml" for name in ("metric", "ms_ssim")]  # nothing to train
FITTED = ROOT / "configs" / "tiny" / "mmf.yaml"  # by its own command
TINY = sorted({*(ROOT / "configs" / "tiny").glob("*.yaml")} - {*FINISHED, FITTED})
SOURCES = ("testsrc2", "mandelbrot", "gradients", "cellauto")
SEEDS = {"gradients": ":seed=1", "cellauto": ":seed=1"}  # both are drawn anew otherwise
CRFS = (20, 32, 40, 48)


def encode(source: str, crf: int, path: Path) -> Path:
    """Encode a test picture; at 0 nothing is lost."""
    picture = f"-nostdin -v error -f lavfi -i {source}=size=320x180:rate=25{SEEDS.get(source, '')} -t 1.2"
    options = [
        *picture.split(),
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        str(crf),
        "-pix_fmt",
        "yuv420p",
        str(path),
    ]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *options], check=True)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sources at four rates; the label is the rate's rank."""
    folder = tmp_path_factory.mktemp("videos")
    rows = []
    for source in SOURCES:
        original = encode(source, 0, folder / f"{source}.mkv")
        for rank, crf in enumerate(reversed(CRFS)):
            path = encode(source, crf, folder / f"{source}_{crf}.mp4")
            row = {"video_id": path.stem, "path": path, "reference": source, "group": source, "mos": rank}
            rows.append({**row, "reference_path": original})
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
    last = run / "checkpoints" / "last.ckpt"
    # Four videos in pieces of three and one.
    model = run_cli(words("predict", config, table, run, f"--ckpt_path={last}", "--data.videos_at_once=3")).model
    scores = read_predictions(run / "predictions.csv")
    cacheable = {name for name, demand in model.demands.items() if demand.cache_key}
    if cacheable:
        assert predict_from_store(config, table, last, cacheable, tmp_path) == pytest.approx(scores, rel=1e-4, abs=1e-5)
    paired = any(demand.view is not None and demand.view.with_reference for demand in model.demands.values())
    reference = table.parent / "cellauto.mkv" if paired else None
    videos = sorted(table.parent.glob("cellauto_*.mp4"))
    score(videos, checkpoint=last, reference=reference, json=tmp_path / "scores.json")
    alone = {Path(row["video"]).stem: row["score"] for row in json.loads((tmp_path / "scores.json").read_text())}
    assert alone == scores, "to the bit"
    result = evaluate_unseen(table, run)
    assert result["videos"] == 4
    timing = json.loads((run / "predictions.json").read_text())
    assert timing["videos"] == 4
    assert 0 < timing["seconds_per_video"] < 60
    assert (run / "logs" / "config.yaml").is_file()


def predict_from_store(config: Path, table: Path, last: Path, cacheable: set[str], folder: Path) -> dict[str, float]:
    """Return the predictions for the test reference from features that `cvqa extract` has put into a store before."""
    unseen = pd.read_csv(table).query("reference == 'cellauto'")
    unseen.to_csv(folder / "unseen.csv", index=False)
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(folder / "unseen.csv")}}
    (folder / "data.yaml").write_text(json.dumps({"data": {"source": source}}))
    extract(config=[config, folder / "data.yaml"], store=folder / "store", device="cpu")
    more = (f"--ckpt_path={last}", f"--data.store={folder / 'store'}")
    predicted = run_cli(words("predict", config, table, folder / "cached", *more))
    used = predicted.datamodule.datasets["predict"].demands
    assert {name for name, demand in used.items() if demand.cache_key} == cacheable
    return read_predictions(folder / "cached" / "predictions.csv")


def evaluate_unseen(table: Path, run: Path, unseen: str = "cellauto") -> dict[str, Any]:
    """Return the evaluation of a run's predictions, which must be those of the test reference."""
    scores = read_predictions(run / "predictions.csv")
    assert set(scores) == {f"{unseen}_{crf}" for crf in CRFS}
    return evaluate(table, predictions=[run / "predictions.csv"], min_srocc=4, min_plcc=4, min_krocc=4, bootstrap=0)


@pytest.mark.parametrize("config", FINISHED, ids=lambda path: path.stem)
def test_a_system_that_learns_nothing_predicts_at_once(config: Path, table: Path, tmp_path: Path) -> None:
    # MS-SSIM of noise may be 0 at every rate.
    run_cli(words("predict", config, table, tmp_path, "--data.split.test=[testsrc2]"))
    assert evaluate_unseen(table, tmp_path, "testsrc2")["videos"] == 4
    with pytest.raises(ValueError, match="has nothing to train; use it as it is"):
        run_cli(words("fit", config, table, tmp_path / "fit", "--trainer.max_epochs=1"))


@pytest.mark.filterwarnings("ignore:Using the fractional value max_samples")  # of four videos in an inner fold
def test_mmf_is_fitted_on_cached_measures_and_predicts(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.yaml"
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(table)}}
    # A radial kernel says the same of everything that is far from what it was fitted on, as noise is from the others.
    split = {"val": ["gradients"], "test": ["testsrc2"]}
    data.write_text(json.dumps({"data": {"source": source, "split": split, "store": str(tmp_path / "store")}}))
    with pytest.raises(ValueError, match=r"does not hold all measures; run `cvqa extract`"):
        fit_mmf(config=[FITTED, data], run=tmp_path)
    extract(config=[FITTED, data], device="cpu")
    found = fit_mmf(config=[FITTED, data], run=tmp_path, trials=3, folds=2, json=tmp_path / "fit.json")
    assert json.loads((tmp_path / "fit.json").read_text()) == found
    assert set(found["importance"]) == set(MEASURES)
    assert "importance on the val videos" in capsys.readouterr().out
    assert (tmp_path / "importance.png").stat().st_size > 1000
    last = tmp_path / "checkpoints" / "last.ckpt"
    run_cli(words("predict", FITTED, table, tmp_path, f"--ckpt_path={last}", "--data.split.test=[testsrc2]"))
    assert evaluate_unseen(table, tmp_path, "testsrc2")["videos"] == 4
    # One file alone, with its source decoded beside it, scores as it did in the table from cached measures.
    path = table.parent / "testsrc2_40.mp4"
    score([path], checkpoint=last, reference=table.parent / "testsrc2.mkv", csv_file=tmp_path / "one.csv")
    alone = pd.read_csv(tmp_path / "one.csv")["score"].item()
    assert alone == pytest.approx(read_predictions(tmp_path / "predictions.csv")["testsrc2_40"], rel=1e-6)
    with pytest.raises(ValueError, match="MMF is not trained by gradients"):
        run_cli(words("fit", FITTED, table, tmp_path / "fit", "--trainer.max_epochs=1"))


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


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(table: Path, tmp_path: Path) -> None:
    config = ROOT / "configs/tiny/rankiqa.yaml"
    every = {"dirpath": str(tmp_path / "every"), "filename": "{epoch}", "every_n_epochs": 1, "save_top_k": -1}
    callback = [{"class_path": "pytorch_lightning.callbacks.ModelCheckpoint", "init_args": every}]
    # Dropout draws from a generator that no checkpoint keeps.
    same = ["--trainer.max_epochs=3", "--model.init_args.dropout=0", f"--trainer.callbacks={json.dumps(callback)}"]
    run_cli(words("fit", config, table, tmp_path / "whole", *same))
    first = tmp_path / "first.ckpt"
    shutil.copy(tmp_path / "every" / "epoch=0.ckpt", first)
    run_cli(words("fit", config, table, tmp_path / "resumed", *same, f"--ckpt_path={first}"))
    ends = [load_state(tmp_path / run / "checkpoints" / "last.ckpt") for run in ("whole", "resumed")]
    start = load_state(first)
    assert any(not torch.equal(value, start[name]) for name, value in ends[0].items())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=0, rtol=0)


def test_one_command_extracts_what_six_frozen_extractors_see(table: Path, tmp_path: Path) -> None:
    """One pass over each video for all of Compression-RQ-VQA; training finds its random projections in the store."""
    spatial = {"frozen": True, "view": {"pixels": {"init_args": {"random": False}}}}
    overlay = tmp_path / "frozen.yaml"
    overlay.write_text(yaml.safe_dump({"model": {"init_args": {"spatial": {"init_args": spatial}}}}))
    data = tmp_path / "data.yaml"
    manifest = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(table)}}
    data.write_text(yaml.safe_dump({"data": {"source": manifest, "num_workers": 0}}))
    config = ROOT / "configs/tiny/compression_rq_vqa.yaml"
    store = tmp_path / "store"
    extract(config=[config, overlay, data], store=store)
    assert len(list(store.iterdir())) == 6
    assert all(len(list(folder.iterdir())) == len(SOURCES) * len(CRFS) for folder in store.iterdir())
    more = [f"--config={overlay}", f"--data.store={store}", "--trainer.max_epochs=1"]
    fitted = run_cli(words("fit", config, table, tmp_path / "run", *more))
    assert fitted.datamodule.train_dataloader().dataset.cached


def test_cover_is_saved_with_averaged_weights(table: Path, tmp_path: Path) -> None:
    """By hand: the average starts at the weights after the first step, then goes half of the way at each step."""
    every = {"dirpath": str(tmp_path / "every"), "filename": "{epoch}", "every_n_epochs": 1, "save_top_k": -1}
    callback = {"class_path": "pytorch_lightning.callbacks.ModelCheckpoint", "init_args": every}
    more = ["--trainer.max_epochs=3", f"--trainer.callbacks+={json.dumps(callback)}"]
    run_cli(words("fit", ROOT / "configs/tiny/cover.yaml", table, tmp_path / "run", *more))
    files = [torch.load(tmp_path / "every" / f"epoch={epoch}.ckpt", weights_only=True) for epoch in range(3)]
    expected = files[0]["current_model_state"]
    for file in files[1:]:
        expected = {key: (value + file["current_model_state"][key]) / 2 for key, value in expected.items()}
    assert any(not torch.equal(value, files[2]["current_model_state"][key]) for key, value in expected.items())
    for key, value in files[2]["state_dict"].items():
        torch.testing.assert_close(value.float(), expected[key].float(), rtol=1e-5, atol=1e-7)
    assert files[2]["state_dict"].keys() == files[2]["current_model_state"].keys()


def load_state(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_the_best_epoch_and_the_last_are_kept_and_a_run_stops_early(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Scores of the four validation videos, of labels 0 to 3: two pairs wrong, none, then one.
    planned = [[1.0, 0, 3, 2], [0.0, 1, 2, 3], *[[0.0, 1, 3, 2]] * 4]
    places = {f"gradients_{crf}": place for place, crf in enumerate(reversed(CRFS))}

    def forward(self: MultiBranch, batch: Batch) -> torch.Tensor:
        return torch.tensor([planned[self.current_epoch][places[name]] for name in batch.video_id])

    monkeypatch.setattr(MultiBranch, "forward", forward)
    (stopping,) = yaml.safe_load((ROOT / "configs/model/flagship.yaml").read_text())["trainer"]["callbacks"]
    stopping["init_args"]["patience"] = 2
    more = ["--trainer.max_epochs=6", f"--trainer.callbacks={json.dumps([stopping])}"]
    run = tmp_path / "run"
    run_cli(words("fit", ROOT / "configs/tiny/rankiqa.yaml", table, run, *more))
    log = pd.read_csv(run / "logs" / "metrics.csv").dropna(subset="val/result").set_index("epoch")["val/result"]
    # Spearman 0.6, Pearson 0.6, Kendall 1/3 and 0.8, 0.8, 2/3: the mean of each.
    assert log.tolist() == pytest.approx([1.5333 / 3, 1, 2.2667 / 3, 2.2667 / 3], abs=1e-3)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    files = [torch.load(run / "checkpoints" / name, weights_only=True) for name in ("best.ckpt", "last.ckpt")]
    assert [file["epoch"] for file in files] == [1, 3]


def test_a_score_is_the_same_from_run_to_run(table: Path, tmp_path: Path) -> None:
    run_cli(words("fit", ROOT / "configs/tiny/flagship.yaml", table, tmp_path / "run", "--trainer.max_epochs=1"))
    videos = sorted(table.parent.glob("*.mp4"))[:3]
    outs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for out, order in zip(outs, (videos, videos[::-1]), strict=True):
        score(order, checkpoint=tmp_path / "run" / "checkpoints" / "last.ckpt", csv_file=out)
    rows = [sorted(out.read_text().splitlines()[1:]) for out in outs]
    assert rows[0] == rows[1]
    assert len({row.split(",")[1] for row in rows[0]}) == 3
    # A file that is not there costs itself alone.
    last, out = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "c.csv"
    assert score([videos[0], tmp_path / "gone.mp4"], checkpoint=last, csv_file=out) == 2
    assert out.read_text().splitlines()[1] in rows[0]
