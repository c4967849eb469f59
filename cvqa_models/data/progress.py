"""How far training has come in its epoch, in items of all ranks: what an epoch goes on from, on any number of ranks."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, cast

import pytorch_lightning as pl

if TYPE_CHECKING:
    from pytorch_lightning.loops.progress import _ProcessedTracker


class TrainingProgress:
    """The items that an epoch of training has done, read from and written into the counters of Lightning's loops.

    Lightning counts batches of one rank. After a resume on another number of ranks, or with batches of another size,
    the same count would stand for other items, so it is set to what leaves the right number of batches.

    Args:
        trainer: The trainer, whose loops are restored already where a run is resumed.
        items: Items in an epoch.
        per_batch: Items in a batch.
    """

    def __init__(self, trainer: pl.Trainer, items: int, per_batch: int) -> None:
        self.trainer = trainer
        self.items = items
        self.per_batch = per_batch
        # Epoch, its items done, and its batches done, when this process took over.
        self._start = (0, 0, 0)

    @property
    def _epochs(self) -> _ProcessedTracker:
        return cast("_ProcessedTracker", self.trainer.fit_loop.epoch_progress.current)

    @property
    def _steps(self) -> _ProcessedTracker:
        return cast("_ProcessedTracker", self.trainer.fit_loop.epoch_loop.batch_progress.current)

    def resume(self, done: int | None) -> tuple[int, int]:
        """Return the epoch to start with and how many of its items are done, and set Lightning's counters to it.

        Args:
            done: Items done of an unfinished epoch; None counts them from the batches, for a checkpoint that lacks it.
        """
        # When a run is resumed, `trainer.current_epoch` still lags here; these counters do not.
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
        # True of loaders that start anew.
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
        """Return the batches of a rank for so many items of all ranks."""
        return math.ceil(math.ceil(items / self.trainer.world_size) / self.per_batch)
