"""Groups as lists of row numbers: which rows an epoch of training uses, and the sampler that gives items to ranks.

All of this computes with integers only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DistributedSampler

from cvqa_models.types import VideoRecord


def group_rows(records: Sequence[VideoRecord]) -> list[list[int]]:
    """Return the rows of each group, groups in the order of their first row."""
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        rows.setdefault(record.group, []).append(row)
    return list(rows.values())


def in_pieces(groups: Sequence[Sequence[int]], size: int | None) -> list[list[int]]:
    """Return the groups cut into pieces of at most `size` rows, in order; None leaves them whole."""
    pieces = []
    for rows in groups:
        step = size or len(rows)
        pieces += [list(rows[start : start + step]) for start in range(0, len(rows), step)]
    return pieces


def draw_rows(rows: Sequence[int], count: int | None, rng: np.random.Generator) -> list[int]:
    """Return at most `count` of `rows`, drawn at random without repetition, in rising order; None returns all."""
    if count is None or count >= len(rows):
        return list(rows)
    return sorted(rows[index] for index in rng.choice(len(rows), size=count, replace=False))


@dataclass(frozen=True)
class _Part:
    """A group, or piece `number` of the `count` pieces into which each epoch divides it; `copy` counts visits."""

    rows: Sequence[int]
    number: int = 0
    count: int = 1
    copy: int = 0


@dataclass(frozen=True)
class _Slot:
    """An item of the epoch: the part at `place`; in the next epoch it is the part `step` places further."""

    parts: Sequence[_Part]
    place: int
    step: int = 0

    def part(self, epoch: int) -> _Part:
        return self.parts[(self.place + epoch * self.step) % len(self.parts)]


class Deck:
    """The items of a training epoch: item -> rows of one group.

    A group of one reference is one item; if it is large, `size` of its videos are drawn in each epoch. A group of
    several references is a data set without groups, or a pool of contents. It has too many videos to use only `size` of
    them: in each epoch it is shuffled and divided into pieces of at most `size`, each of them an item, so that every
    video is used once. The lengths of pieces differ by one at most, because a last piece of one video could not be
    ranked.

    `visits` says how often the items of a group come in an epoch: 2 uses each twice, 0.5 uses half of them, in turn.

    Args:
        groups: Rows of each group.
        records: The videos.
        size: Largest number of videos in an item; None takes groups whole.
        seed: Seed of every draw.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], records: Sequence[VideoRecord], size: int | None, seed: int
    ) -> None:
        self.size = size
        self.seed = seed
        by_visits: dict[float, list[_Part]] = {}
        for rows in groups:
            by_visits.setdefault(records[rows[0]].visits, []).extend(_parts(rows, records, size))
        self._slots = [slot for visits, parts in by_visits.items() for slot in _slots(parts, visits, seed)]

    def __len__(self) -> int:
        return len(self._slots)

    def group(self, epoch: int, item: int) -> Sequence[int]:
        """Return all rows of the group to which an item of an epoch belongs."""
        return self._slots[item].part(epoch).rows

    def rows(self, epoch: int, item: int, broken: Collection[int] = ()) -> list[int]:
        """Return the rows of an item in an epoch, in rising order, without those that are `broken`.

        If nothing is left of a piece, its rows are drawn from the rest of its group. No rows mean that the group has
        none left.
        """
        part = self._slots[item].part(epoch)
        if part.count > 1:
            first, last = (number * len(part.rows) // part.count for number in (part.number, part.number + 1))
            shuffle = np.random.default_rng((self.seed, epoch, part.rows[0], part.copy + 1))
            dealt = [part.rows[place] for place in shuffle.permutation(len(part.rows))[first:last]]
            if left := sorted(row for row in dealt if row not in broken):
                return left
        usable = [row for row in part.rows if row not in broken] if broken else part.rows
        return draw_rows(usable, self.size, np.random.default_rng((self.seed, epoch, item)))


def _parts(rows: Sequence[int], records: Sequence[VideoRecord], size: int | None) -> list[_Part]:
    several = len({records[row].reference for row in rows}) > 1
    count = -(-len(rows) // size) if several and size is not None else 1
    return [_Part(rows, number, count) for number in range(count)]


def _slots(parts: Sequence[_Part], visits: float, seed: int) -> list[_Slot]:
    """Return the slots of an epoch that visits each part `visits` times; of a fraction, parts take turns by epoch."""
    whole = int(visits)
    slots = []
    for copy in range(whole):
        copies = [replace(part, copy=copy) for part in parts]
        slots += [_Slot(copies, place) for place in range(len(parts))]
    step = round((visits - whole) * len(parts))
    if not slots:
        step = max(step, 1)
    if not step:
        return slots
    # Neighbouring rows of a table are often alike.
    order = np.random.default_rng((seed, len(parts))).permutation(len(parts)).tolist()
    others = [replace(parts[place], copy=whole) for place in order]
    return slots + [_Slot(others, place, step) for place in range(step)]


class EpochSampler(DistributedSampler):
    """Torch's distributed sampler, with two changes: an index holds the epoch too, and it can start inside an epoch.

    An item draws its videos and views from (seed, epoch, item). As the index holds the epoch, workers that prefetch or
    stay alive over epochs need no state, and a resumed run draws the same as an uninterrupted one. All ranks together
    take items from the front of one order, which does not depend on the number of ranks. So the number of items done is
    enough to go on inside an epoch.

    Args:
        dataset: Data set of items; each rank gets equally many, and the first items are repeated if needed.
        num_replicas: Number of ranks.
        rank: This rank.
        seed: Seed of the order.
        epoch: Epoch to start with.
        done: Number of items of that epoch that are already done, on all ranks together.
    """

    def __init__(
        self, dataset: Sized, *, num_replicas: int, rank: int, seed: int, epoch: int = 0, done: int = 0
    ) -> None:
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, seed=seed)  # type: ignore[arg-type]
        self.set_epoch(epoch)
        self._start = (epoch, done)

    @property
    def done(self) -> int:
        """Return how many items of its epoch were done before this sampler began."""
        epoch, done = self._start
        return done if epoch == self.epoch else 0

    def __iter__(self) -> Iterator[Any]:
        count = len(self.dataset)  # type: ignore[arg-type]
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(count, generator=generator).tolist()
        rest = order[self.done :]
        missing = -len(rest) % self.num_replicas
        rest += (order * (missing // count + 1))[:missing]
        return iter([(self.epoch, item) for item in rest[self.rank :: self.num_replicas]])
