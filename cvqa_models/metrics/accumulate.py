"""Collect scores during validation, from all batches and ranks, and evaluate them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

from cvqa_models.metrics.group_score import SMALLEST_GROUP, GroupScore, Thresholds, evaluate

Row = tuple[str, str, float, float]
T = TypeVar("T")


class GroupAccumulator:
    """Gather (video, group, mos, score) of every rank and give the same `GroupScore` on each.

    Args:
        thresholds: Fewest videos that a group needs to count; None for the organisers' 15, 6 and 6.

    Attributes:
        used: Thresholds of the last evaluation. A threshold that no group reaches is lowered to the size of the
            largest group that can be ranked; otherwise a validation set of small groups would have no value and no
            best epoch.
    """

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self.used = self.thresholds
        self._rows: list[Row] = []

    def update(self, video_id: Sequence[str], group_name: Sequence[str], mos: Tensor, score: Tensor) -> None:
        """Add the videos of a batch.

        Args:
            video_id: B names.
            group_name: B group names.
            mos: Subjective scores, shape (B,); NaN for a video without a label, which is not evaluated.
            score: Predicted scores, shape (B,).

        Raises:
            ValueError: If the four lengths differ.
        """
        lengths = [len(video_id), len(group_name), len(mos), len(score)]
        if len(set(lengths)) > 1:
            raise ValueError(f"`video_id`, `group_name`, `mos` and `score` have {lengths} entries; expected as many.")
        self._rows += zip(video_id, group_name, mos.double().tolist(), score.detach().double().tolist(), strict=True)

    def compute(self) -> GroupScore:
        """Return the evaluation of all ranks' videos; every rank must call it.

        A sampler may repeat a video, so that all ranks have equally many batches; each (video, group) counts once.
        """
        rows = of_all_ranks(self._rows)
        unique = {(group, video_id): (mos, score) for video_id, group, mos, score in reversed(rows)}
        keys = sorted(unique)
        mos = [unique[key][0] for key in keys]
        self.used = _within_reach(self.thresholds, [group for group, _ in keys], mos)
        return evaluate([group for group, _ in keys], mos, [unique[key][1] for key in keys], thresholds=self.used)

    def reset(self) -> None:
        """Forget all rows."""
        self._rows = []


def of_all_ranks(own: list[T]) -> list[T]:
    """Return the entries of all ranks' lists, in the order of ranks. Every rank must call it; all get the same."""
    if not (dist.is_available() and dist.is_initialized()):
        return own
    parts: list[list[T]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, own)
    return [entry for part in parts for entry in part]


def _within_reach(thresholds: Thresholds, group: Sequence[str], mos: Sequence[float]) -> Thresholds:
    """Return the thresholds, if needed lowered to the size of the largest group with different labels, at least 3."""
    labels: dict[str, list[float]] = {}
    for name, value in zip(group, mos, strict=True):
        if not math.isnan(value):
            labels.setdefault(name, []).append(value)
    largest = max((len(values) for values in labels.values() if len(set(values)) > 1), default=0)
    return Thresholds(*(min(least, max(largest, SMALLEST_GROUP)) for least in astuple(thresholds)))
