"""End training at a signal: finish the current batch, write a checkpoint, and stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from cvqa_models.ending import AT_ONCE, Stopped
from cvqa_models.training.callbacks.checkpoints import LAST
from cvqa_models.training.lightning_private import cluster_environment, queue_again

log = logging.getLogger(__name__)


class StopAfterBatch(Checkpoint):
    """Handle SIGTERM, and in a SLURM job the signal that announces its end, between two batches.

    Between batches the weights and the state of the optimiser belong to the same step, and all ranks can agree. After
    the last batch of an epoch, its validation is done first. After SIGTERM to any rank, `last.ckpt` is written and the
    process ends with exit code 143. A second SIGTERM ends it at once; so does the first if no training is running.
    After SLURM's signal (SIGUSR1), Lightning writes `hpc_ckpt_N.ckpt` and asks SLURM to queue the job again.

    It is a checkpoint callback because those are called last: by then the other callbacks have updated their state.
    """

    def __init__(self) -> None:
        self._training = False
        self._between_batches = False
        self._asked: float | None = None
        self._announced = False
        self._slurm = False
        self._before: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._before = signal.getsignal(signal.SIGTERM)
        environment = cluster_environment(trainer)
        if stage == "fit" and isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            self._slurm = True
            if _in_main_thread():
                # Lightning would save at once, in the middle of a batch; it does not replace a handler that is already
                # set.
                signal.signal(environment.requeue_signal or signal.SIGUSR1, self._announce)

    def _take_over(self) -> None:
        # Lightning's own handler starts a collective operation inside the signal, when other ranks may not take part.
        if _in_main_thread():
            signal.signal(signal.SIGTERM, self._end)

    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take_over()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take_over()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take_over()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._take_over()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._training = True
        self._take_over()

    def _announce(self, number: int, frame: FrameType | None) -> None:
        self._announced = True

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._training and (self._asked is None or time.monotonic() - self._asked < AT_ONCE):
            self._asked = self._asked or time.monotonic()
            return
        if callable(self._before):
            self._before(number, frame)
        raise Stopped(number)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not trainer.is_last_batch:  # an epoch ends with its validation
            self._answer(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._answer(trainer)

    def _answer(self, trainer: pl.Trainer) -> None:
        if self._slurm and trainer.strategy.reduce_boolean_decision(self._announced, all=False):
            self._announced = False
            queue_again(trainer)
        if trainer.strategy.reduce_boolean_decision(self._asked is not None, all=False):
            self._between_batches = True
            # A launcher takes every exit code but 0 of its ranks for a failure, and then kills the first rank.
            raise Stopped(signal.SIGTERM) if trainer.is_global_zero else SystemExit(0)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        if self._between_batches:
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, ModelCheckpoint) and callback.filename == LAST:
                    path = callback.format_checkpoint_name({})
                    trainer.save_checkpoint(path)
                    if trainer.is_global_zero:
                        log.info("'%s' holds what is done; `--ckpt_path last` goes on from there.", path)
        self._give_back()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._give_back()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._training = False
        if _in_main_thread() and signal.getsignal(signal.SIGTERM) == self._end:
            signal.signal(signal.SIGTERM, self._before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
