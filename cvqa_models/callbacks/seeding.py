"""Random numbers of training that hang on the step alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class SeedSteps(pl.Callback):
    """Seed torch before every training step by (seed, epoch, batch, rank).

    Dropout then draws in a resumed run what it draws in an uninterrupted one, on every rank; no checkpoint has to keep
    a generator's state.

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
