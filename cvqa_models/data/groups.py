"""Groups as lists of row numbers, and the sampler that deals whole groups to ranks. Integers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler

from cvqa_models.types import VideoRecord


def group_rows(records: Sequence[VideoRecord]) -> list[list[int]]:
    """Return the rows of each group, groups in the order of their first row."""
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(record.group, []).append(row)
    return list(rows.values())


def chunk(groups: Sequence[Sequence[int]], size: int | None) -> list[list[int]]:
    """Return the groups cut into pieces of at most `size` rows, in order; None leaves them whole."""
    pieces = []
    for rows in groups:
        step = size or len(rows)
        pieces += [list(rows[start : start + step]) for start in range(0, len(rows), step)]
    return pieces


def draw(rows: Sequence[int], count: int | None, rng: np.random.Generator) -> list[int]:
    """Return at most `count` of `rows`, drawn at random without repetition, in rising order; None returns all."""
    if count is None or count >= len(rows):
        return list(rows)
    return sorted(rows[index] for index in rng.choice(len(rows), size=count, replace=False))


class EpochSampler(DistributedSampler):
    """Torch's own distributed sampler, whose indices carry the epoch, also on a single process.

    An item draws videos and views from (seed, epoch, item). With the epoch inside the index, workers that prefetch or
    live on over epochs need no state, and a resumed run draws what the uninterrupted one would have drawn.

    Args:
        dataset: Data set of groups; each rank gets whole groups, equally many, the last ones repeated if need be.
        num_replicas: Number of ranks.
        rank: This rank.
        seed: Seed of the order.
        epoch: Epoch to start with.
    """

    def __init__(self, dataset: Sized, *, num_replicas: int, rank: int, seed: int, epoch: int = 0) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        return ((self.epoch, index) for index in super().__iter__())
