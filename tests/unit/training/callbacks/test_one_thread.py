"""A small head on cached features runs on one thread, and leaves the number of threads as it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from cvqa_models.training.callbacks.one_thread import SMALL, OneThread


class Head(pl.LightningModule):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.net = nn.Linear(1, size, bias=False, device="meta")


def threads_in(cached: bool, size: int, device: str = "cpu") -> int:
    data = SimpleNamespace(datasets={"train": SimpleNamespace(cached=cached), "val": SimpleNamespace(cached=True)})
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer, module, callback = SimpleNamespace(datamodule=data, strategy=strategy), Head(size), OneThread()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        callback.setup(trainer, module, "fit")  # type: ignore[arg-type]
        found = torch.get_num_threads()
        callback.on_exception(trainer, module, ValueError())  # type: ignore[arg-type]
        callback.teardown(trainer, module, "fit")  # type: ignore[arg-type]
        assert torch.get_num_threads() == 2
        return found
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cached", "size", "device", "threads"),
    [(True, 100, "cpu", 1), (False, 100, "cpu", 2), (True, SMALL, "cpu", 2), (True, 100, "meta", 2)],
)
def test_threads(cached: bool, size: int, device: str, threads: int) -> None:
    assert threads_in(cached, size, device) == threads
