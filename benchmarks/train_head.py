"""Seconds per epoch of the flagship's head on cached features, through `train.py`'s own path, and where they go.

    python benchmarks/train_head.py [--profile]

1,022 videos in 57 groups, as many as CVQAD's, with random features in the flagship's own widths and counts, and its
recipe; a step is 8 whole groups under all eight terms of the loss, and an epoch visits all 57. To reach: 1 s.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.training.cli import run_cli
from cvqa_models.types import Demand
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

SIZES = [9] * 7 + [11] + [12] * 11 + [13] * 2 + [14] * 2 + [15] * 6 + [21] * 14 + [27] * 14
# Branch -> width and tokens: SlowFast both pathways, Swin-B, CLIP ViT-L/14, CompressionNet.
WIDTHS = {"motion": (2304, 8), "technical": (1024, 8), "semantic": (768, 8), "compression": (1600, 8)}
EPOCHS = 12


class Stored(Branch):
    """A branch that is only a width: its features are in the store."""

    def __init__(self, name: str, dim: int) -> None:
        super().__init__(View(KeyFrames(1), Resize(8, 8)), dim, frozen=True)
        self.name = name

    def tokens(self, x: Tensor) -> Tensor:
        raise ValueError("The features must come from the store.")

    @property
    def demand(self) -> Demand:
        return Demand(self.view, self.name)


class Clock(pl.Callback):
    """Time every epoch of training, and the pause between two with validation and checkpoints."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.starts: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.starts.append(time.perf_counter())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.epochs.append(time.perf_counter() - self.starts[-1])

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        whole = np.diff(self.starts)
        print(
            f"an epoch of {sum(SIZES)} videos in {len(SIZES)} whole groups: median "
            f"{statistics.median(self.epochs[1:]):.2f} s with validation, {np.median(whole[1:]):.2f} s from one start "
            f"to the next, checkpoints included; {torch.get_num_threads()} threads"
        )


def make(folder: Path) -> Path:
    """Write a manifest, the features of every video, and a configuration; return the latter."""
    rows = ["video_id,reference,group,mos,split"]
    store = FeatureStore(folder / "store", "")
    generator = torch.Generator().manual_seed(0)
    groups = [(f"g{number}", size, "train") for number, size in enumerate(SIZES)] + [("val", 15, "val")]
    for group, size, split in groups:
        for video in range(size):
            rows.append(f"{group}_{video},{group},{group},{torch.randn(1, generator=generator).item():.4f},{split}")
            for name, (dim, tokens) in WIDTHS.items():
                store.write(name, f"{group}_{video}", torch.randn(tokens, dim, generator=generator), {})
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    branches = "".join(
        f"\n      {name}: {{class_path: train_head.Stored, init_args: {{name: {name}, dim: {dim}}}}}"
        for name, (dim, _) in WIDTHS.items()
    )
    config = folder / "config.yaml"
    config.write_text(f"""
model:
  class_path: cvqa_models.models.multibranch.MultiBranch
  init_args:
    branches: {branches}
    loss:
      class_path: cvqa_models.losses.grouped.GroupLoss
      init_args:
        terms: {{plcc: 1, srocc: 1, krocc: 1, ranknet: 0.1, norm_in_norm: 0.1, fidelity: 0.1, mse: 0.01, anchor: 0.05}}
    recipe: {{lr_head: 1.0e-3, weight_decay: 0.05, warmup: 0.05}}
    dropout: 0.2
    pooling: mean_std
data:
  source: {{class_path: cvqa_models.data.manifest.Manifest, init_args: {{path: {folder}/manifest.csv}}}}
  store: {folder}/store
  videos_per_group: null
  groups_per_batch: 8
trainer:
  max_epochs: {EPOCHS}
  accelerator: cpu
  devices: 1
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks: [{{class_path: train_head.Clock}}]
""")
    return config


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        config = make(Path(name))
        profile = cProfile.Profile()
        if "--profile" in sys.argv:
            profile.enable()
        run_cli(["fit", f"--config={config}", f"--run={name}/run"])
        if "--profile" in sys.argv:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
