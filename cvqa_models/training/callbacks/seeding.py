"""Make the random numbers of a training step depend only on the seed, the rank and the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class SeedSteps(pl.Callback):
    """Seed torch before every training step by (seed, epoch, batch, rank).

    So dropout draws the same numbers in a resumed run as in an uninterrupted one, on every rank, and a checkpoint need
    not store the state of a generator.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        mixed = np.random.SeedSequence([self.seed, trainer.current_epoch, batch_idx, trainer.global_rank])
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]))
