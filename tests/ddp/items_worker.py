"""Train without groups, resume on another number of ranks, and note what each rank saw; see test_items.py.

Usage: items_worker.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.types import Batch, Demand, VideoRecord


class Pool:
    """1,800 videos without groups for training, 16 for validation."""

    def records(self) -> list[VideoRecord]:
        return [
            VideoRecord(f"p{i}", None, "pool", f"p{i}", float(i), split="train" if i < 1800 else "val")
            for i in range(1816)
        ]


class Notes(pl.LightningModule):
    """Needs nothing of a video but its name, and writes down the names of each step."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.out = out
        self.seen: list[tuple[int, list[str]]] = []
        self.validated = 0

    @property
    def demands(self) -> dict[str, Demand]:
        return {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, batch.video_id))
        return (self.weight - batch.mos.mean()).square().sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated += 1

    def on_train_end(self) -> None:
        content = {"seen": self.seen, "validated": self.validated, "steps": self.global_step}
        self.out.with_name(f"{self.out.name}-{self.global_rank}.json").write_text(json.dumps(content))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, name: str, ranks: int, start: str | None = None, save_at: int = 0, max_steps: int = -1) -> None:
    keep = ModelCheckpoint(dirpath=folder / name, filename="{step}", every_n_train_steps=save_at, save_top_k=-1)
    trainer = pl.Trainer(
        max_epochs=2,
        max_steps=max_steps,
        accelerator="cpu",
        devices=ranks,
        strategy="ddp_fork" if ranks > 1 else "auto",
        callbacks=[keep] if save_at else [],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=save_at > 0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Notes(folder / name), GroupDataModule(Pool(), videos_per_group=24), ckpt_path=start)


def main(folder: Path) -> None:
    # 38 steps an epoch on two ranks, 75 on one.
    fit(folder, "two", 2, save_at=15)
    fit(folder, "one", 1, save_at=30, max_steps=30)
    fit(folder, "two-then-one", 1, str(folder / "two" / "step=15.ckpt"))
    fit(folder, "one-then-two", 2, str(folder / "one" / "step=30.ckpt"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
