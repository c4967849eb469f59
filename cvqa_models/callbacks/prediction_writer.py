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
        """Write what all ranks predicted.

        Raises:
            ValueError: If videos were left out as unreadable, on every rank, when the others are written.
        """
        rows = _of_all_ranks(trainer, self._rows)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        broken = sorted(set(_of_all_ranks(trainer, data.left_out("predict") if data is not None else [])))
        if trainer.is_global_zero:
            write_predictions(self.path, rows)
            seconds = trainer.world_size * (time.perf_counter() - self._start) / max(len(rows), 1)
            content = {"videos": len({row.video_id for row in rows}), "seconds_per_video": round(seconds, 4)}
            write_text(self.path.with_suffix(".json"), json.dumps(content) + "\n")
        if broken:
            names = ", ".join(repr(name) for name in broken)
            raise ValueError(
                f"{len(broken)} videos could not be read and have no row in '{self.path}': {names}; the rows of all "
                "others are written, and the log says why these were left out."
            )


def _of_all_ranks(trainer: pl.Trainer, own: list[Any]) -> list[Any]:
    """Return the entries of every rank's list, on every rank."""
    parts: list[list[Any]] = [own]
    if trainer.world_size > 1:
        parts = [[] for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(parts, own)
    return [one for part in parts for one in part]
