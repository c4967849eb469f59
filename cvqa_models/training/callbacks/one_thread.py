"""Small heads on cached features take one thread: more would wait for each other, by spinning, most of the time."""

from __future__ import annotations

import pytorch_lightning as pl
import torch

SMALL = 5_000_000  # parameters


class OneThread(pl.Callback):
    """Runs a model on one thread of the processor if all it sees is cached, and what it computes is small (ours).

    On two cores, a step of a linear head on 16 groups took 280 to 350 ms of processor time with two threads, and 30
    with one. The number of threads is put back at the end.
    """

    _before: int | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        cached = all(dataset.cached for dataset in data.datasets.values())
        # Frozen branches are not run where their features are cached.
        heads = sum(parameter.numel() for parameter in pl_module.parameters() if parameter.requires_grad)
        if cached and heads < SMALL and trainer.strategy.root_device.type == "cpu":
            self._before = torch.get_num_threads()
            torch.set_num_threads(1)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._before is not None:
            torch.set_num_threads(self._before)
            self._before = None
