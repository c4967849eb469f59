"""Train a tiny level scorer, on one process or sharded over two, and save what it learned; see test_fsdp.py.

Usage: fsdp_worker.py RANKS DTYPE OUT [CHECKPOINT TO LOAD FIRST]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cvqa_models.branches.lmm_levels import LmmLevels
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.iqa_llava import IqaLlava
from cvqa_models.nn.lmm.lora import Lora
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.sources import WeightSource
from tests.ddp.fit_worker import joined
from tests.unit.branches.tiny import LLAVA
from tests.unit.models.test_level_scorer import make_batch


def batches(ranks: int) -> list[Batch]:
    """Return four batches of unequal length, or the pairs that two ranks see in one step."""
    items = [make_batch(videos, 1, seed) for seed, videos in enumerate((5, 3, 4, 6))]
    for number, item in enumerate(items):
        item.group_name = [f"group{number}"] * len(item)
    return items if ranks == 2 else [joined(items[0], items[1]), joined(items[2], items[3])]


class Data(pl.LightningDataModule):
    """Every rank's batches in order; Lightning's own sampler would shuffle them."""

    def __init__(self, ranks: int) -> None:
        super().__init__()
        self.ranks = ranks

    def train_dataloader(self) -> DataLoader:
        own = batches(self.ranks)[self.trainer.global_rank :: self.ranks]
        return DataLoader(own, batch_size=None)  # type: ignore[arg-type]

    val_dataloader = train_dataloader


class ShardsSeen(pl.Callback):
    """Record how adapters lie on the processes while the model trains."""

    def __init__(self) -> None:
        self.sharded = 0
        self.local = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trained = [p for p in pl_module.parameters() if p.requires_grad]
        self.sharded = sum(p.numel() for p in trained if isinstance(p, DTensor))
        self.local = sum(p.to_local().numel() for p in trained if isinstance(p, DTensor))


def main(ranks: int, dtype: str, out: str, start: str | None) -> None:
    torch.manual_seed(0)
    branch = LmmLevels(untrained=LLAVA, num_clips=2, lora=Lora(2, 4, dropout=0.0), dtype=dtype)  # type: ignore[arg-type]
    branch.sources["base"] = WeightSource("llava")  # as if its numbers were those of a file
    # Untrained scores lie close together, where correlations amplify rounding; the squared error does not.
    loss = GroupLoss({"mse": 1.0})
    model = IqaLlava(branch, loss, recipe=Recipe(lr_backbone=0.02, videos_per_pass=2))
    # Plain steps down the gradient; Adam would blow up rounding in directions without any gradient.
    model.configure_optimizers = lambda: torch.optim.SGD(  # type: ignore[method-assign]
        [p for p in model.parameters() if p.requires_grad], lr=0.02, momentum=0.9
    )
    seen = ShardsSeen()
    trainer = pl.Trainer(
        max_epochs=2 if start is None else 3,
        accelerator="cpu",
        devices=ranks,
        strategy=ModelParallelStrategy(ranks, 1, save_distributed_checkpoint=False) if ranks > 1 else "auto",
        callbacks=[seen],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=Data(ranks), ckpt_path=start)
    trainer.save_checkpoint(f"{out}.ckpt")
    if trainer.is_global_zero:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        torch.save({"metrics": metrics, "sharded": seen.sharded, "local": seen.local}, out)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
