"""Write the predictions of all ranks to one CSV, each video once; also their score maps and the time they took."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from cvqa_models.data.feature_store import map_file, write_maps
from cvqa_models.data.predictions import write_predictions
from cvqa_models.data.rows import Row, appending, part_path, parts_of, read_rows
from cvqa_models.files import write_text
from cvqa_models.metrics.accumulate import of_all_ranks
from cvqa_models.types import Batch, Prediction

log = logging.getLogger(__name__)


class PredictionWriter(pl.Callback):
    """Write `video_id,score` rows, sorted by `video_id`, when prediction ends, and the measured time beside them.

    Each row is written to the disk at once, to `NAME.rows.jsonl`, one file per rank. After a stop or an error, the next
    prediction goes on from these files; a complete prediction removes them.

    Args:
        path: CSV file; written whole or not at all. The same name with `.json` holds `videos` and `seconds_per_video`:
            seconds of one device, reading included, even if several devices shared the work.
        maps: Folder for score maps, one file per video; None writes none.
    """

    def __init__(self, path: str | Path, maps: Path | None = None) -> None:
        self.path = Path(path)
        self.maps = maps
        self._by = ""
        self._earlier: dict[str, Prediction] = {}
        self._rows: list[Prediction] = []
        self._start = 0.0
        self._open = ExitStack()
        self._append: Callable[[Row], None] | None = None

    def resume(self, by: str) -> set[str]:
        """Return the videos that an earlier run has predicted; their rows are used.

        Args:
            by: All that a score depends on besides the video; rows with other values are not used.

        Raises:
            ValueError: If a line of the rows is not a row.
        """
        self._by = by
        for file in parts_of(self._kept):
            for row in read_rows(file):
                name, group, score = row["video"], row.get("group", ""), row.get("score", 0.0)
                if row["by"] == by and (self.maps is None or map_file(self.maps, name).exists()):
                    self._earlier[name] = Prediction(name, group, score, row.get("details", {}))
        if self._earlier:
            log.info("%d videos were predicted before, and are passed over", len(self._earlier))
        return set(self._earlier)

    def on_predict_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._rows.clear()
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
        if self._append is None:
            file = part_path(self._kept, (trainer.global_rank, trainer.world_size))
            self._append = self._open.enter_context(appending(file))
        for one in outputs:
            about = {"group": one.group, "score": one.score, "details": one.details, "by": self._by}
            self._append({"video": one.video_id, **about})

    def on_predict_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what all ranks predicted.

        Raises:
            ValueError: On every rank, if unreadable videos were left out; the others are written first.
        """
        rows = of_all_ranks(self._rows)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        broken = sorted(set(of_all_ranks(data.left_out("predict") if data is not None else [])))
        self._close()
        if trainer.is_global_zero:
            self._write(rows, trainer.world_size * (time.perf_counter() - self._start))
        self._rows.clear()
        if broken:
            names = ", ".join(repr(name) for name in broken)
            raise ValueError(
                f"{len(broken)} videos could not be read and have no row in '{self.path}': {names}; the rows of all "
                "others are written, and the log says why these were left out."
            )

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Log which rows are kept, and that the table is not written: it would not be complete."""
        self._close()
        if self._rows:
            log.warning(
                "'%s' keeps the %d videos that are done; the same command goes on from there.",
                part_path(self._kept, (trainer.global_rank, trainer.world_size)),
                len(self._rows),
            )

    def _write(self, rows: Sequence[Prediction], seconds: float) -> None:
        """Write the table of all rows, also of earlier runs, and remove the files that were kept to go on."""
        own = {row.video_id: row for row in rows}
        write_predictions(self.path, [*rows, *(row for name, row in self._earlier.items() if name not in own)])
        content = {"videos": len({**self._earlier, **own}), "seconds_per_video": round(seconds / max(len(rows), 1), 4)}
        write_text(self.path.with_suffix(".json"), json.dumps(content) + "\n")
        for file in parts_of(self._kept):
            file.unlink()
            file.with_name(f".{file.name}.lock").unlink(missing_ok=True)

    @property
    def _kept(self) -> Path:
        return self.path.with_suffix(".rows.jsonl")

    def _close(self) -> None:
        self._open.close()
        self._append = None
