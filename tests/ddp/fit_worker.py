"""Run one epoch of group-wise training on fixed batches and save the weights; started by test_two_processes.py.

Usage: fit_worker.py RANKS OUT.pt
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, DistributedSampler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cvqa_models.types import Batch
from tests.unit.training.test_module import make_batch, make_model


def joined(first: Batch, second: Batch) -> Batch:
    """Return one batch of the groups of two."""
    return Batch(
        first.video_id + second.video_id,
        first.group_name + second.group_name,
        torch.cat([first.group, second.group + 100]),
        torch.cat([first.mos, second.mos]),
        torch.cat([first.weight, second.weight]),
        {key: torch.cat([view, second.views[key]]) for key, view in first.views.items()},
    )


def batches() -> list[Batch]:
    """Four batches: 3 groups, none valid, 1 group, 2 groups - so that ranks hold different numbers of valid groups."""
    items = [
        make_batch(videos, groups, seed) for seed, (videos, groups) in enumerate([(12, 3), (8, 1), (6, 1), (9, 2)])
    ]
    items[1].mos[:] = 2.5
    for number, item in enumerate(items):
        item.video_id = [f"batch{number}-{name}" for name in item.video_id]
        item.group_name = [f"batch{number}-{name}" for name in item.group_name]
    return items


class Data(pl.LightningDataModule):
    def __init__(self, items: list[Batch]) -> None:
        super().__init__()
        self.items = items

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        # Lightning's own sampler would shuffle, and the two runs have to see the same batches in one step.
        sampler = DistributedSampler(
            self.items,  # type: ignore[arg-type]
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
            shuffle=False,
        )
        return DataLoader(self.items, batch_size=None, sampler=sampler)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader:
        return DataLoader(batches()[:3], batch_size=None, shuffle=False)  # type: ignore[arg-type]


def main(ranks: int, out: str) -> None:
    items = batches()
    if ranks == 1:  # the two batches that two ranks see in one step
        items = [joined(items[0], items[1]), joined(items[2], items[3])]
    model = make_model()
    # Plain steps down the gradient; Adam would blow up rounding in directions without any gradient.
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.configure_optimizers = lambda: torch.optim.SGD(trained, lr=0.02)  # type: ignore[method-assign]
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=ranks,
        strategy="ddp_fork" if ranks > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=Data(items))
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    torch.save({"state": model.state_dict(), "metrics": metrics}, out)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
