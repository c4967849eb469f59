"""The organisers' published numbers to the last digit: their pool, rounding, undefined values and interval.

It repeats the organisers' results, so it differs from `group_score` on purpose: two references of CVQAD are missing
from their list; a coefficient that scipy's rounding leaves slightly below 1 is not capped, and counts with a z of about
18; a constant column in one counting group makes the pooled value NaN; the interval uses the number of videos as sample
size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import CAP, METRICS, ROUNDING, GroupTable, Thresholds, rows_of_groups, uncapped

LEFT_OUT = ("blue-hair-ugc", "cover-song-2020")
"""References of CVQAD that are misspelt or missing in the organisers' category "FULL DATASET"."""


def with_library_rounding(table: GroupTable, group: Sequence[str], mos: Floats, scores: Floats) -> GroupTable:
    """Return `table` with scipy's value for each perfect Spearman and Kendall coefficient.

    Args:
        table: Coefficients of the same videos.
        group: Group name per video.
        mos: Subjective scores, shape (N,), finite.
        scores: Predicted scores, shape (N, K).
    """
    from scipy import stats

    values, rows = table.values.copy(), rows_of_groups(group)
    for name, routine in (("srocc", stats.spearmanr), ("krocc", stats.kendalltau)):
        own = values[METRICS.index(name)]
        for index, column in np.argwhere(np.abs(own) > 1 - ROUNDING):
            videos = rows[table.names[index]]
            own[index, column] = routine(scores[videos, column], mos[videos])[0]
    return GroupTable(table.names, table.sizes, values, table.rankable)


def notebook_score(table: GroupTable, thresholds: Thresholds) -> tuple[Floats, Floats, Floats]:
    """Return the pooled values with their signs, the weights of the groups, and the organisers' 95 % intervals.

    The interval is for the absolute value, which they publish: |z| +- 1.96 standard errors with the number of videos as
    the sample size, each end clipped to [0, arctanh(0.99999)]. It is 5 to 6 times too narrow; `bootstrap` computes a
    correct one.

    Returns:
        Pooled SROCC, PLCC, KROCC and their mean, shape (4, 1, K), weights, shape (3, G, 1), and low and high ends of
        the first three, shape (2, 3, K).
    """
    least = np.array([getattr(thresholds, name) for name in METRICS])[:, None]
    weight = np.where(table.sizes >= least, table.sizes, 0)[..., None]
    with np.errstate(divide="ignore"):
        z = np.arctanh(table.values)
    z = np.where(np.isinf(z), np.sign(z) * np.arctanh(CAP), z)
    z = np.where(weight > 0, z, 0)  # a group below the threshold may be NaN, and NaN times weight 0 is still NaN
    total = weight.sum(1)
    mean = (weight * z).sum(1) / total
    value = uncapped(np.tanh(mean))
    error = np.sqrt((weight * (z - mean[:, None]) ** 2).sum(1) / total / (total - 1))
    ends = np.clip(np.abs(mean) + 1.96 * np.stack([-error, error]), 0, np.arctanh(0.99999))
    return np.concatenate([value, value.mean(0, keepdims=True)])[:, None], weight, np.tanh(ends)
