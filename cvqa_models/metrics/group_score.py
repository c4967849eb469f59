"""The challenge's evaluation: correlations inside each group, pooled over the groups by Fisher's z.

Scores of different references do not compare, so each (reference, preset) group is scored by itself. The pooled value
is tanh(sum(n z) / sum(n)) with z = arctanh(r) of every group that has enough videos. The mean of the three pooled
values is `result`. The organisers publish absolute values, which `GroupScore.official` holds. To choose a model, signed
values are used, because a reversed model is a bad one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cvqa_models.metrics.correlation import Floats, coefficients_of_groups
from cvqa_models.types import Constant

METRICS = ("srocc", "plcc", "krocc")
SMALLEST_GROUP = 3
CAP = 0.99
"""A perfect group has an infinite z; the organisers use arctanh(0.99) for it."""
ROUNDING = 1e-12
"""A coefficient this close to 1 counts as 1; otherwise rounding could give a perfect group z = 18 in place of 2.6."""


@dataclass(frozen=True)
class Thresholds:
    """Fewest videos that a group needs to count, per coefficient (the organisers' values).

    Raises:
        ValueError: If one is below 3: with two videos, every coefficient is perfect.
    """

    srocc: int = 15
    plcc: int = 6
    krocc: int = 6

    def __post_init__(self) -> None:
        for name in METRICS:
            if getattr(self, name) < SMALLEST_GROUP:
                raise ValueError(
                    f"`min_{name}` is {getattr(self, name)}; expected at least {SMALLEST_GROUP}, since any two points "
                    "lie on a line."
                )


@dataclass(frozen=True)
class GroupRow:
    """The coefficients of one group, NaN if it has fewer than 3 videos or constant values."""

    group: str
    n: int
    srocc: float
    plcc: float
    krocc: float


@dataclass(frozen=True)
class Official:
    """The organisers' figures: absolute values of the three pooled coefficients, in [0, 1], and their mean."""

    srocc: float
    plcc: float
    krocc: float
    result: float


@dataclass(frozen=True)
class GroupScore:
    """The pooled evaluation of one column of scores.

    Attributes:
        srocc: Pooled Spearman coefficient with its sign, in [-1, 1]; NaN if no group is large enough. The same holds
            for `plcc` and `krocc`.
        result: Mean of the three.
        videos: Number of labelled videos.
        groups: Every group in order of its name.
        unscored: Groups in which this column is constant, so that it gives no order.
        counted: Groups that count for at least one coefficient.
        against: Groups of `counted` in which a coefficient that counts is negative.
    """

    srocc: float
    plcc: float
    krocc: float
    result: float
    videos: int
    groups: list[GroupRow]
    unscored: list[str]
    counted: list[str]
    against: list[str]

    @property
    def official(self) -> Official:
        """Return the organisers' figures, which do not show a reversed order."""
        srocc, plcc, krocc = abs(self.srocc), abs(self.plcc), abs(self.krocc)
        return Official(srocc, plcc, krocc, (srocc + plcc + krocc) / 3)


@dataclass(frozen=True)
class GroupTable:
    """Coefficients of G groups and K columns.

    Attributes:
        names: Group names, sorted.
        sizes: Labelled videos per group, shape (G,).
        values: Spearman, Pearson, Kendall, shape (3, G, K); NaN where not defined.
        rankable: Whether a group has 3 videos and different labels, so that an order can be right or wrong; shape (G,).
    """

    names: list[str]
    sizes: NDArray[np.int64]
    values: Floats
    rankable: NDArray[np.bool_]


def evaluate(
    group: Sequence[str],
    mos: ArrayLike,
    score: ArrayLike,
    *,
    thresholds: Thresholds | None = None,
    constant: Constant = "zero",
) -> GroupScore:
    """Return the challenge's evaluation of one column of scores, with signs.

    Args:
        group: Name of the comparison group of each video.
        mos: Subjective scores; a video with NaN is left out.
        score: Predicted scores, larger is better.
        thresholds: Fewest videos that a group needs to count; None for the organisers' 15, 6 and 6.
        constant: Whether a group with constant scores counts as 0 or is left out.

    Raises:
        ValueError: If the lengths differ or a score of a labelled video is not finite.
    """
    table = group_table(group, np.asarray(mos, np.float64), np.asarray(score, np.float64)[:, None])
    z, weight = fisher_z(table, thresholds or Thresholds(), constant)
    return group_scores(table, pooled(z, weight), weight)[0]


def group_table(group: Sequence[str], mos: Floats, scores: Floats) -> GroupTable:
    """Return the coefficients inside every group for K columns of scores.

    Args:
        group: Group name per video, N in all.
        mos: Subjective scores, shape (N,); NaN leaves a video out.
        scores: Predicted scores, shape (N, K).

    Raises:
        ValueError: If the lengths differ, or `mos` or a score is infinite, or a labelled video's score is NaN.
    """
    if not len(group) == len(mos) == len(scores):
        raise ValueError(f"{len(group)} groups, {len(mos)} `mos` and {len(scores)} `score` values; expected as many.")
    labelled = ~np.isnan(mos)
    mos, scores = mos[labelled], scores[labelled]
    own = [name for name, used in zip(group, labelled.tolist(), strict=True) if used]
    for column, broken in (("mos", ~np.isfinite(mos)), ("score", ~np.isfinite(scores).all(1))):
        if broken.any():
            raise ValueError(
                f"`{column}` is not finite for {broken.sum()} of {len(mos)} videos (first: the labelled row "
                f"{broken.argmax() + 1}, in group '{own[broken.argmax()]}'); expected numbers."
            )
    members = rows_of_groups(own)
    sizes = np.array([len(rows) for rows in members.values()], dtype=np.int64)
    values = np.full((len(METRICS), len(members), scores.shape[1]), np.nan)
    spread = np.zeros(len(members), dtype=np.bool_)
    listed = list(members.values())
    for size in np.unique(sizes).tolist():  # groups of the same size are computed as one array
        alike = np.flatnonzero(sizes == size)
        rows = np.stack([listed[index] for index in alike.tolist()])
        spread[alike] = mos[rows].max(1) > mos[rows].min(1)
        if size >= SMALLEST_GROUP:
            values[:, alike] = coefficients_of_groups(mos[rows], scores[rows])
    return GroupTable([str(name) for name in members], sizes, values, spread & (sizes >= SMALLEST_GROUP))


def rows_of_groups(group: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return name of a group -> its rows, in rising order; groups are in order of their names."""
    number = {name: place for place, name in enumerate(sorted(set(group)))}
    member = np.fromiter(map(number.__getitem__, group), np.int64, len(group))
    order = np.argsort(member, kind="stable")
    ends = np.cumsum(np.bincount(member, minlength=len(number)))[:-1]
    return dict(zip(number, np.split(order, ends), strict=False))  # without rows, split still makes one part


def fisher_z(table: GroupTable, thresholds: Thresholds, constant: Constant) -> tuple[Floats, Floats]:
    """Return Fisher's z and the weight of every coefficient, shapes (3, G, K) each.

    The weight is the size of the group, or 0 if the group does not count: it has too few videos, equal labels, or
    constant scores with `constant="skip"`. With "zero", constant scores count as z = 0.
    """
    least = np.array([getattr(thresholds, name) for name in METRICS])[:, None]
    counts = (table.sizes >= least) & table.rankable
    weight = np.where(counts, table.sizes, 0)[..., None] * np.ones_like(table.values)
    undefined = np.isnan(table.values)
    if constant == "skip":
        weight[undefined] = 0
    return capped_z(table.values), weight


def capped_z(values: Floats) -> Floats:
    """Return Fisher's z of coefficients: for 1 the z of 0.99, and for NaN 0."""
    values = np.where(np.isnan(values), 0, values)
    perfect = np.abs(values) > 1 - ROUNDING
    z: Floats = np.arctanh(np.where(perfect, np.sign(values) * CAP, values))
    return z


def pooled(z: Floats, weight: Floats, draws: Floats | None = None) -> Floats:
    """Return the pooled SROCC, PLCC, KROCC and their mean, in [-1, 1]; NaN if no group counts.

    Args:
        z: Fisher's z, shape (3, G, K).
        weight: Weights, shape (3, G, K).
        draws: How often each group counts in each of R resamples, shape (R, G); None for once each.

    Returns:
        Shape (4, R, K).
    """
    draws = np.ones((1, z.shape[1])) if draws is None else draws
    return pooled_of_sums(draws @ weight, draws @ (weight * z))


def pooled_of_sums(weight: Floats, weighted_z: Floats) -> Floats:
    """Return `pooled` values, shape (4, R, K), from sums over the groups, shapes (3, R, K) both."""
    mean = np.divide(weighted_z, weight, out=np.full_like(weight, np.nan), where=weight != 0)
    value = uncapped(np.tanh(mean))
    return np.concatenate([value, value.mean(0, keepdims=True)])


def uncapped(value: Floats) -> Floats:
    """Return pooled values, with 1 or -1 if all groups are perfect: for that case the organisers undo the cap of z."""
    return np.where(np.abs(np.abs(value) - CAP) < ROUNDING, np.sign(value), value)


def group_scores(table: GroupTable, values: Floats, weight: Floats) -> list[GroupScore]:
    """Return one record per column.

    Args:
        table: Coefficients of the groups.
        values: Pooled values, shape (4, 1, K).
        weight: Weight of each coefficient in them, shape (3, G, K) or (3, G, 1).
    """
    counts = np.broadcast_to(weight > 0, table.values.shape)
    counted, against = (np.asarray(flags.any(0)) for flags in (counts, counts & (table.values < -ROUNDING)))
    records = []
    for column in range(values.shape[-1]):
        own = table.values[..., column]
        rows = [
            GroupRow(name, size, *values_of_group)
            for name, size, values_of_group in zip(table.names, table.sizes.tolist(), own.T.tolist(), strict=True)
        ]
        constant = table.rankable & np.isnan(own).all(0)
        named = (
            [name for name, flag in zip(table.names, flags, strict=True) if flag]
            for flags in (constant, counted[:, column], against[:, column])
        )
        srocc, plcc, krocc, result = (float(value) for value in values[:, 0, column])
        records.append(GroupScore(srocc, plcc, krocc, result, int(table.sizes.sum()), rows, *named))
    return records
