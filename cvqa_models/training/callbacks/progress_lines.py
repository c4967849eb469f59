"""Show the progress of a run in lines of text, for output that goes to a file or a log."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar

from cvqa_models.messages import Seldom


class ProgressLines(ProgressBar):
    """Writes a line to stderr every half minute, in place of a progress bar, which needs a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._say = Seldom()
        self._quiet = False

    def disable(self) -> None:
        self._quiet = True

    def enable(self) -> None:
        self._quiet = not self.trainer.is_global_zero  # only the first rank writes

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        of = "" if trainer.max_epochs in (None, -1) else f" of {trainer.max_epochs}"
        self._tell(f"epoch {trainer.current_epoch + 1}{of}", batch_idx, trainer.num_training_batches)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._tell("validation", batch_idx, trainer.num_val_batches[dataloader_idx])

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._tell("test", batch_idx, trainer.num_test_batches[dataloader_idx])

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._tell("prediction", batch_idx, trainer.num_predict_batches[dataloader_idx])

    def _tell(self, what: str, batch: int, batches: float) -> None:
        if not self._quiet:
            self._say(f"{what}: batch {batch + 1} of {batches}")
