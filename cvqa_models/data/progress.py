"""Progress inside a training epoch, in items of all ranks, so that a run can go on with any number of ranks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytorch_lightning as pl


class TrainingProgress:
    """The number of items that a training epoch has done; read from and written to the counters of Lightning's loops.

    Lightning counts batches of one rank. After a resume with another number of ranks or another batch size, the same
    count would mean other items. So the count is set such that the right number of batches is left.

    Args:
        trainer: The trainer; if a run is resumed, its loops are already restored.
        items: Items in an epoch.
        per_batch: Items in a batch.
    """

    def __init__(self, trainer: pl.Trainer, items: int, per_batch: int) -> None:
        self.trainer = trainer
        self.items = items
        self.per_batch = per_batch
        # Epoch, its items done, and its batches done, at the start of this process.
        self._start = (0, 0, 0)

    @property
    def _epochs(self) -> Any:
        return self.trainer.fit_loop.epoch_progress.current

    @property
    def _steps(self) -> Any:
        return self.trainer.fit_loop.epoch_loop.batch_progress.current

    def resume(self, done: int | None) -> tuple[int, int]:
        """Return the epoch to start with and how many of its items are done, and set Lightning's counters to match.

        Args:
            done: Items done of an unfinished epoch; None computes it from the batches, for a checkpoint without this
                number.
        """
        # When a run is resumed, `trainer.current_epoch` is not yet up to date here; these counters are.
        epochs, steps = self._epochs, self._steps
        if epochs.ready == epochs.processed:
            return epochs.ready, 0
        done = self._of_all_ranks(steps.processed) if done is None else done
        if done >= self.items:  # saved after the last batch, or in the validation after it
            return epochs.processed + 1, 0
        position = self._batches(self.items) - self._batches(self.items - done)
        shift = position - steps.processed
        for name in ("ready", "started", "processed", "completed"):
            setattr(steps, name, getattr(steps, name) + shift)
        self._start = (epochs.processed, done, position)
        # The warning is right only for loaders that start from the first batch again; ours does not.
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch")
        return epochs.processed, done

    def items_done(self) -> int:
        """Return how many items of the running epoch are done, on all ranks together."""
        epoch, done, position = self._start
        if epoch != self._epochs.processed:
            done, position = 0, 0
        return min(self.items, done + self._of_all_ranks(self._steps.processed - position))

    def _of_all_ranks(self, batches: int) -> int:
        return batches * self.per_batch * self.trainer.world_size

    def _batches(self, items: int) -> int:
        """Return how many batches of one rank `items` items of all ranks make."""
        return math.ceil(math.ceil(items / self.trainer.world_size) / self.per_batch)
