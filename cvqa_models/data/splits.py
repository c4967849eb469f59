"""Divide videos into train, val and test, always by reference, so that no content is on two sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvqa_models.tables import near_misses
from cvqa_models.types import VideoRecord


@dataclass(frozen=True)
class Split:
    """How references are divided; records with their own split keep it.

    Attributes:
        val: Share of the references in [0, 1) for validation, or their names.
        test: Share of the references in [0, 1) for testing, or their names.
        folds: Number of folds for cross-validation; the references of one fold are then the test set, in place of
            `test`. Folds have about equally many videos: references are given to folds from the largest to the
            smallest.
        fold: Number of the test fold, from 0.
        seed: Seed of the draw; the same seed gives the same folds on every machine. Null does not draw: references are
            taken in the order of their names.
    """

    val: float | list[str] = 0.2
    test: float | list[str] = 0.0
    folds: int | None = None
    fold: int = 0
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            share = getattr(self, name)
            if not isinstance(share, list) and not 0 <= share < 1:
                raise ValueError(f"`{name}` is {share}; expected a share in [0, 1) or a list of references.")
        if self.folds is not None and not (self.folds >= 2 and 0 <= self.fold < self.folds):
            raise ValueError(
                f"`folds` is {self.folds} and `fold` is {self.fold}; expected at least 2 folds, and a fold below that."
            )


def divide(records: Sequence[VideoRecord], split: Split) -> dict[str, list[VideoRecord]]:
    """Return the records of `train`, `val` and `test`, each in the given order.

    Raises:
        ValueError: If a named reference is unknown, a reference falls on two sides, or nothing is left to train on.
    """
    names = _assign(records, split)
    sides: dict[str, list[VideoRecord]] = {"train": [], "val": [], "test": []}
    side_of: dict[str, str] = {}
    for record in records:
        side = record.split or names[record.reference]
        if side_of.setdefault(record.reference, side) != side:
            raise ValueError(
                f"Reference {record.reference!r} stands in {side_of[record.reference]!r} and in {side!r}; correct the "
                "`split` column, so that no content is on two sides."
            )
        sides[side].append(record)
    return sides


def _assign(records: Sequence[VideoRecord], split: Split) -> dict[str, str]:
    """Return reference -> side for the references that have no split of their own."""
    free = sorted({record.reference for record in records if not record.split})
    shuffled = free[::-1]
    if split.seed is not None:
        shuffled = [free[index] for index in np.random.default_rng(split.seed).permutation(len(free))]
    if split.folds is not None:
        if split.folds > len(free):
            raise ValueError(f"`folds` is {split.folds}, but there are only {len(free)} references; use fewer folds.")
        test = _deal(shuffled, records, split.folds)[split.fold]
    else:
        test = _choose("test", split.test, shuffled)
    rest = [name for name in shuffled if name not in set(test)]
    val = _choose("val", split.val, rest)
    sides = dict.fromkeys(free, "train")
    sides.update(dict.fromkeys(val, "val"))
    sides.update(dict.fromkeys(test, "test"))
    return sides


def _deal(references: list[str], records: Sequence[VideoRecord], folds: int) -> list[list[str]]:
    """Return the references of each fold. The largest go first, each to the fold with the fewest videos so far."""
    size = Counter(record.reference for record in records)
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for name in sorted(references, key=size.__getitem__, reverse=True):
        min(dealt, key=lambda fold: sum(size[own] for own in fold)).append(name)
    return dealt


def _choose(name: str, share: float | list[str], candidates: list[str]) -> list[str]:
    if isinstance(share, list):
        unknown = [reference for reference in share if reference not in candidates]
        if unknown:
            raise ValueError(
                f"`{name}` lists references that are not there to choose from: {near_misses(unknown, candidates)}; "
                f"expected some of {', '.join(sorted(candidates)[:8])}."
            )
        return share
    count = max(1, round(share * len(candidates))) if share > 0 and candidates else 0
    return candidates[:count]
