"""Predictions of all ranks in one CSV, each video once, and their score maps beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch.distributed

from cvqa_models.data.feature_store import write_maps
from cvqa_models.data.submission import write_predictions
from cvqa_models.types import Batch, Prediction


class PredictionWriter(pl.Callback):
    """Write `video_id,score` rows, sorted by `video_id`, when prediction ends.

    Args:
        path: CSV file; written whole or not at all.
        maps: Folder for score maps, one file per video; None writes none.
    """

    def __init__(self, path: str | Path, maps: Path | None = None) -> None:
        self.path = Path(path)
        self.maps = maps
        self._rows: list[Prediction] = []

    def on_predict_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rows = []

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._rows.extend(outputs)
        if self.maps is not None:
            for prediction in outputs:
                write_maps(self.maps, prediction)

    def on_predict_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        parts: list[list[Prediction]] = [self._rows]
        if trainer.world_size > 1:
            parts = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(parts, self._rows)
        if trainer.is_global_zero:
            write_predictions(self.path, [row for part in parts for row in part])
