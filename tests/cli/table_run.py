"""A training run that decodes nothing and takes a second: a head on the columns of a table, stored as features."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import yaml

from cvqa_models.inference.extract import extract_table

ROOT = Path(__file__).resolve().parents[2]
GROUPS, VIDEOS = 8, 5


def write_inputs(folder: Path, hidden: int = 16) -> list[Path]:
    """Write table, features and configuration; returns the configurations of model and data.

    The head has dropout, so that a resumed run shows whether its random numbers go on as they should.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"g{group}_{video}" for group in range(GROUPS) for video in range(VIDEOS)]
    values = rng.normal(size=(len(names), 4))
    mos = values @ [1.0, -0.5, 0.2, 0.0] + rng.normal(scale=0.3, size=len(names))
    metrics = folder / "metrics.csv"
    rows = [",".join([name, *map(str, row)]) for name, row in zip(names, values, strict=True)]
    metrics.write_text("\n".join(["video_id,a,b,c,d", *rows]) + "\n")
    labels = folder / "labels.csv"
    rows = [f"{name},{name[:2]},{name[:2]},{score}" for name, score in zip(names, mos, strict=True)]
    labels.write_text("\n".join(["video_id,reference,group,mos", *rows]) + "\n")
    extract_table(metrics, ["a", "b", "c", "d"], folder / "features")
    branch = {"class_path": "cvqa_models.branches.table.Table"}
    model = {
        "class_path": "cvqa_models.models.multibranch.MultiBranch",
        "init_args": {
            "branches": {"table": {**branch, "init_args": {"path": str(metrics), "columns": ["a", "b", "c", "d"]}}},
            "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"},
            "hidden": hidden,
            "dropout": 0.3,
        },
    }
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(labels)}}
    data = {"source": source, "split": {"val": ["g0", "g1"]}, "store": str(folder / "features"), "videos_per_group": 4}
    files = {"model": {"model": model}, "data": {"data": data}}
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return [folder / f"{name}.yaml" for name in files]


def fit_words(configs: list[Path], run: Path, *more: str, command: str = "fit") -> list[str]:
    names = [*configs, ROOT / "configs/trainer/cpu.yaml"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    return [command, *(f"--config={name}" for name in names), f"--run={run}", *quiet, *more]


class SendSignal(pl.Callback):
    """Send this process a signal during a batch of training, or of prediction.

    Args:
        name: Name of the signal.
        epoch: Epoch of training.
        batch: Number of the batch.
    """

    def __init__(self, name: str, epoch: int, batch: int) -> None:
        self.number = signal.Signals[name]
        self.moment = (epoch, batch)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, index: int) -> None:
        if (trainer.current_epoch, index) == self.moment:
            os.kill(os.getpid(), self.number)

    def on_predict_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, index: int, *_: Any
    ) -> None:
        if index == self.moment[1]:
            os.kill(os.getpid(), self.number)
