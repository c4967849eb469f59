"""Measures of bitrate ladders: one source, one encoder and preset, several bitrates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import rows_of_groups


@dataclass(frozen=True)
class LadderOrder:
    """The number of steps in the right order, and the number of all steps."""

    right: int
    steps: int

    @property
    def share(self) -> float:
        """Return the share of steps in the right order, in [0, 1]; NaN if there is no step."""
        return self.right / self.steps if self.steps else float("nan")


def ladder_order(ladder: Sequence[str], bitrate: Floats, score: Floats) -> LadderOrder:
    """Return the share of adjacent rungs in which the higher bitrate has the higher score.

    Args:
        ladder: Ladder of each video; videos of a ladder differ only in bitrate.
        bitrate: Bitrates, any unit, shape (N,); NaN leaves a video out. Rungs of equal bitrate make no step.
        score: Scores, larger is better, shape (N,). A tie is not the right order.
    """
    right = steps = 0
    for rows in _ladders(ladder, bitrate):
        climbs = np.diff(bitrate[rows]) > 0
        right += int((np.diff(score[rows])[climbs] > 0).sum())
        steps += int(climbs.sum())
    return LadderOrder(right, steps)


def rate_errors(
    group: Sequence[str], ladder: Sequence[str], bitrate: Floats, mos: Floats, score: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Return how far bitrates at equal predicted quality are from those at equal human quality, in log2 of their ratio.

    It follows the idea of LEHA-CVQAD's rate-distortion alignment; the definition is ours. For a rung of one ladder, the
    log2 bitrate at which another ladder of the group reaches the same quality is read from that ladder's curve: once
    with human scores, and once with predicted scores. The error is the absolute difference of both: 0 is perfect, 1 is
    a factor of two. Curves are linear in log2 bitrate between rungs, made monotone by a running maximum, and never
    extrapolated.

    Args:
        group: Group of each video.
        ladder: Ladder of each video, inside its group.
        bitrate: Bitrates, any unit, shape (N,); NaN leaves a video out.
        mos: Subjective scores, shape (N,); NaN leaves a video out.
        score: Predicted scores, larger is better, shape (N,).

    Returns:
        For every comparison of a rung with another ladder for which both bitrates exist: the row of the rung, and the
        error; shapes (C,) and (C,).
    """
    known = np.where(np.isnan(mos), np.nan, bitrate)
    rows: list[int] = []
    errors: list[float] = []
    for inside in rows_of_groups(group).values():
        ladders = [inside[own] for own in _ladders([ladder[index] for index in inside.tolist()], known[inside])]
        for one, other in permutations(ladders, 2):
            gap = np.abs(
                _rate_at(mos[one], mos[other], known[other]) - _rate_at(score[one], score[other], known[other])
            )
            rows += one[~np.isnan(gap)].tolist()
            errors += gap[~np.isnan(gap)].tolist()
    return np.array(rows, dtype=np.int64), np.array(errors)


def _ladders(ladder: Sequence[str], bitrate: Floats) -> Iterator[np.ndarray]:
    """Yield the rows of each ladder with two or more known bitrates, in rising order of bitrate."""
    known = np.flatnonzero(~np.isnan(bitrate))
    member = np.unique(np.asarray(ladder, dtype=np.str_)[known], return_inverse=True)[1]
    order = np.lexsort((bitrate[known], member))
    for rows in np.split(known[order], np.flatnonzero(np.diff(member[order])) + 1):
        if len(rows) > 1:
            yield rows


def _rate_at(quality: Floats, curve: Floats, bitrate: Floats) -> Floats:
    """Return the log2 bitrate at which `curve` reaches each quality; NaN beyond its ends."""
    rates: Floats = np.interp(quality, np.maximum.accumulate(curve), np.log2(bitrate), left=np.nan, right=np.nan)
    return rates
