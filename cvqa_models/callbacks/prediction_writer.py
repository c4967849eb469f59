"""Predictions of all ranks in one CSV, each video once; beside it their score maps, and the time that they took."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch.distributed

from cvqa_models.data.atomic import write_text
from cvqa_models.data.feature_store import write_maps
from cvqa_models.data.submission import write_predictions
from cvqa_models.types import Batch, Prediction


class PredictionWriter(pl.Callback):
    """Write `video_id,score` rows, sorted by `video_id`, when prediction ends, and the measured time beside them.

    Args:
        path: CSV file; written whole or not at all. Beside it, the same name with `.json` holds `videos` and
            `seconds_per_video`, reading included: seconds of one device, however many shared the work.
        maps: Folder for score maps, one file per video; None writes none.
    """

    def __init__(self, path: str | Path, maps: Path | None = None) -> None:
        self.path = Path(path)
        self.maps = maps
        self._rows: list[Prediction] = []
        self._start = 0.0

    def on_predict_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rows = []
        self._start = time.perf_counter()

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
            rows = [row for part in parts for row in part]
            write_predictions(self.path, rows)
            seconds = trainer.world_size * (time.perf_counter() - self._start) / max(len(rows), 1)
            content = {"videos": len({row.video_id for row in rows}), "seconds_per_video": round(seconds, 4)}
            write_text(self.path.with_suffix(".json"), json.dumps(content) + "\n")
