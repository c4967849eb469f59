"""Confidence intervals and paired comparisons by resampling references.

Videos of one reference are judged together and share content, so a reference is drawn together with all its videos. The
coefficients of a group of one reference do not change with the draw; only how often the group counts changes. A group
of several references is formed again in each draw, from the videos of the drawn references.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvqa_models.metrics.correlation import Floats, compared, near_one, ratio
from cvqa_models.metrics.group_score import GroupTable, Thresholds, capped_z, fisher_z, pooled_of_sums, rows_of_groups
from cvqa_models.types import Constant

PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """A paired difference of two `result`s over the same resamples.

    Attributes:
        value: Difference on the original data.
        low: Lower end of the 95 % interval.
        high: Upper end.
        probability: Share of resamples in which the difference is positive.
    """

    value: float
    low: float
    high: float
    probability: float


def resampled(
    table: GroupTable,
    group: Sequence[str],
    reference: Sequence[str],
    mos: Floats,
    scores: Floats,
    *,
    thresholds: Thresholds,
    constant: Constant = "zero",
    resamples: int,
    seed: int = 0,
) -> Floats:
    """Return the pooled SROCC, PLCC, KROCC and their mean in each resample of the references, shape (4, R, K).

    The original data decide which groups are large enough.

    Args:
        table: Coefficients of the original data.
        group: Group name of each of N labelled videos.
        reference: Reference of each.
        mos: Subjective scores, finite, shape (N,).
        scores: Predicted scores, finite, shape (N, K).
        thresholds: Fewest videos that a group needs to count.
        constant: Whether a group with constant scores counts as 0 or is left out.
        resamples: Number R of resamples.
        seed: Seed of the draw.

    Raises:
        ValueError: If there are less than two references or no resamples.
    """
    names, member = np.unique(np.asarray(reference, dtype=np.str_), return_inverse=True)
    drawn = draw_resamples(len(names), resamples, seed)
    z, weight = fisher_z(table, thresholds, constant)
    rows = list(rows_of_groups(group).values())
    single = np.array([len(set(member[videos].tolist())) == 1 for videos in rows], dtype=np.bool_)
    whole = drawn[:, [member[videos[0]] for videos, one in zip(rows, single, strict=True) if one]]
    total, weighted = whole @ weight[:, single], whole @ (weight * z)[:, single]
    for index in np.flatnonzero(~single & (weight > 0).any((0, 2))):
        videos = rows[index]
        own, inside = np.unique(member[videos], return_inverse=True)
        values, size = resampled_coefficients(mos[videos], scores[videos], inside, drawn[:, own])
        counts = (weight[:, index] > 0)[:, None] * size[None, :, None]
        if constant == "skip":
            counts = np.where(np.isnan(values), 0, counts)
        total, weighted = total + counts, weighted + counts * capped_z(values)
    return pooled_of_sums(total, weighted)


def draw_resamples(references: int, resamples: int, seed: int = 0) -> Floats:
    """Return how often each reference is drawn in each of R resamples, shape (R, `references`).

    Raises:
        ValueError: If there are less than two references or no resamples.
    """
    if references < 2:
        raise ValueError(
            f"An interval over references needs at least 2; the table has {references}. Use `bootstrap=0`."
        )
    if resamples < 1:
        raise ValueError(f"`resamples` is {resamples}; expected a positive number.")
    share = np.full(references, 1 / references)
    return np.random.default_rng(seed).multinomial(references, share, size=resamples).astype(np.float64)


def resampled_coefficients(
    mos: Floats, scores: Floats, reference: NDArray[np.int64], drawn: Floats
) -> tuple[Floats, Floats]:
    """Return SROCC, PLCC and KROCC of one group in which each video counts as often as its reference is drawn.

    They equal those of a table with repeated rows. Comparisons are summed per reference only once, so a resample costs
    a matrix product, not all pairs.

    Args:
        mos: Subjective scores, shape (n,).
        scores: Predicted scores, shape (n, K).
        reference: Number of each video's reference, from 0 without a gap, shape (n,).
        drawn: How often each reference is drawn, shape (R, Q).

    Returns:
        Coefficients, shape (3, R, K), NaN if the drawn videos have constant values; and the size of the group, shape
        (R,), 0 if their labels are constant.
    """
    order = np.argsort(reference, kind="stable")
    mos, scores, reference = mos[order], scores[order], reference[order]
    starts = np.flatnonzero(np.diff(reference, prepend=-1))
    shape = (len(drawn), scores.shape[1])
    rank_xx, pairs_x = np.zeros((len(drawn), 1)), np.zeros((len(drawn), 1))
    rank_xy, rank_yy, agreement, pairs_y = (np.zeros(shape) for _ in range(4))
    times = drawn.astype(np.float32)  # whole numbers; float32 adds these exactly up to 16 million

    def summed(signs: Floats) -> Floats:
        """Return the sums over the drawn videos, shape (R, b), of signs of shape (b, n)."""
        return (times @ np.add.reduceat(signs.astype(np.float32), starts, axis=1).T).astype(np.float64)

    block = max(1, PAIRS_AT_ONCE // len(mos))
    for start in range(0, len(mos), block):
        rows = slice(start, start + block)
        weight = drawn[:, reference[rows]]
        x = compared(mos[rows, None], mos)
        rank_x = summed(x)
        rank_xx[:, 0] += (weight * rank_x**2).sum(1)
        pairs_x[:, 0] += (weight * summed(np.abs(x))).sum(1)
        for column in range(shape[1]):
            y = compared(scores[rows, column, None], scores[:, column])
            rank_y = summed(y)
            rank_xy[:, column] += (weight * rank_x * rank_y).sum(1)
            rank_yy[:, column] += (weight * rank_y**2).sum(1)
            agreement[:, column] += (weight * summed(x * y)).sum(1)
            pairs_y[:, column] += (weight * summed(np.abs(y))).sum(1)
    defined = (pairs_x > 0) & (pairs_y > 0)
    values = np.stack(
        [
            ratio(rank_xy, rank_xx * rank_yy, defined),
            _pearson(mos, scores, starts, drawn, defined),
            ratio(agreement, pairs_x * pairs_y, defined),
        ]
    )
    size = drawn @ np.diff(starts, append=len(mos))
    return values, np.where(pairs_x[:, 0] > 0, size, 0)


def _pearson(
    mos: Floats, scores: Floats, starts: NDArray[np.int64], drawn: Floats, defined: NDArray[np.bool_]
) -> Floats:
    """Return Pearson's coefficients of resamples, shape (R, K), from sums per reference."""
    x, y = near_one(mos)[:, None], near_one(scores)
    x, y = x - x.mean(0), y - y.mean(0)
    size = drawn @ np.diff(starts, append=len(mos))[:, None]
    sum_x, sum_y, sum_xx, sum_yy, sum_xy = (
        drawn @ np.add.reduceat(values, starts, axis=0) for values in (x, y, x * x, y * y, x * y)
    )
    size = np.maximum(size, 1)
    squares = (sum_xx - sum_x**2 / size) * (sum_yy - sum_y**2 / size)
    return ratio(sum_xy - sum_x * sum_y / size, squares, defined).clip(-1, 1)


def interval(values: Floats) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of resampled values, shape (R,), without those in which no group counted."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def difference(value: float, other: float, values: Floats, others: Floats) -> Difference:
    """Return value - other with its interval, from values of both on the same resamples, shape (R,) each."""
    gap = values - others
    low, high = interval(gap)
    return Difference(value - other, low, high, float(np.mean(gap[~np.isnan(gap)] > 0)) if len(gap) else float("nan"))
