"""A data set without groups trains as well as under a plain shuffled loader, which is how its authors train on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.utils.data import DataLoader

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.dataset import concatenate
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.types import Batch, VideoRecord
from tests.unit.data.test_datamodule import trainer
from tests.unit.training.cached import DIM, model

TRAINED, VALIDATED = 1800, 300
GENERATOR = torch.Generator().manual_seed(0)
FEATURES = torch.randn(TRAINED + VALIDATED, 1, DIM, generator=GENERATOR)
NOISE = torch.randn(TRAINED + VALIDATED, generator=GENERATOR)
MOS = FEATURES[:, 0] @ torch.tensor([1.0, 0.8, -0.6, 0.4, 0.2]) + 0.8 * NOISE


class Listed:
    """The videos, without groups, as a table without that column gives them."""

    def records(self) -> list[VideoRecord]:
        return [
            VideoRecord(f"v{i}", None, "set", f"v{i}", float(mos), split="train" if i < TRAINED else "val")
            for i, mos in enumerate(MOS)
        ]


class Memory:
    """A feature store that is no folder."""

    def complete(self, cache_key: str, video_ids: Iterable[str]) -> bool:
        return True

    def packed(self, cache_key: str, video_ids: Iterable[str]) -> bool:
        return False

    def read(self, cache_key: str, video_id: str, *files: str | None) -> Tensor:
        return FEATURES[int(video_id[1:])]

    def keep_times(self) -> None:
        pass


def batch(rows: slice) -> Batch:
    count = len(MOS[rows])
    group, weight = torch.zeros(count, dtype=torch.int64), torch.ones(count)
    return Batch(["v"] * count, ["set"] * count, group, MOS[rows], weight, features={"table": FEATURES[rows]})


def srocc(trained: MultiBranch) -> float:
    with torch.no_grad():
        scores = trained.eval()(batch(slice(TRAINED, None)))
    return float(spearmanr(scores, MOS[TRAINED:]).statistic)


def test_the_same_srocc_as_with_a_plain_shuffled_loader(tmp_path: Path) -> None:
    ours, plain = model(lr_head=0.003), model(lr_head=0.003)
    data = GroupDataModule(Listed(), videos_per_group=8)
    data.store = Memory()  # type: ignore[assignment]
    dealt = trainer(tmp_path, enable_checkpointing=False)
    dealt.fit(ours, data)
    items = [batch(slice(row, row + 1)) for row in range(TRAINED)]
    loader = DataLoader(items, batch_size=8, shuffle=True, collate_fn=concatenate)  # type: ignore[arg-type]
    shuffled = trainer(tmp_path, enable_checkpointing=False)
    shuffled.fit(plain, loader)
    assert dealt.global_step == shuffled.global_step == TRAINED // 8
    possible = float(spearmanr((MOS - 0.8 * NOISE)[TRAINED:], MOS[TRAINED:]).statistic)
    # Measured: 0.8422 and 0.8450 of 0.8475.
    assert abs(srocc(ours) - srocc(plain)) < 0.005
    assert srocc(ours) > possible - 0.01
