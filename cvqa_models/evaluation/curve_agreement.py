"""How well delta rates by a score agree with delta rates by human scores: sign, rank and error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvqa_models.evaluation.compared_videos import HUMAN
from cvqa_models.evaluation.delta_rates import Delta
from cvqa_models.metrics.bootstrap import draw_resamples, interval, resampled_coefficients
from cvqa_models.metrics.correlation import Floats, coefficients

Interval = tuple[float, float]


@dataclass(frozen=True)
class Agreement:
    """Agreement of delta rates by one score with those by human scores, over all sources and encoders that have both.

    Attributes:
        score: Name of the score.
        comparisons: Number of pairs of delta rates.
        sign: Share of pairs in which the same encoder saves rate.
        rank: Spearman's coefficient of the two; NaN below 3.
        error: Mean absolute difference of the log2 of both ratios of rates: 0 is perfect, 1 a factor of two.
        sign_interval: 95 % interval over sources; NaN without one.
        rank_interval: The same for `rank`.
        error_interval: The same for `error`.
    """

    score: str
    comparisons: int
    sign: float
    rank: float
    error: float
    sign_interval: Interval
    rank_interval: Interval
    error_interval: Interval


def agreements(deltas: Sequence[Delta], scores: Sequence[str], bootstrap: int, seed: int) -> list[Agreement]:
    """Return the agreement of each score with human scores, if there are any; the best rank first."""
    people = {(one.source, one.preset, one.encoder): one.bd.log2 for one in deltas if one.score == HUMAN and one.bd}
    found = []
    for score in scores:
        own = {(one.source, one.preset, one.encoder): one.bd.log2 for one in deltas if one.score == score and one.bd}
        both = [key for key in people if key in own]
        if both:
            human, predicted = (np.array([side[key] for key in both]) for side in (people, own))
            found.append(_agreement(score, human, predicted, [source for source, _, _ in both], bootstrap, seed))
    return sorted(found, key=lambda one: -np.inf if np.isnan(one.rank) else one.rank, reverse=True)


def _agreement(
    score: str, human: Floats, predicted: Floats, source: Sequence[str], bootstrap: int, seed: int
) -> Agreement:
    same = (np.sign(human) == np.sign(predicted)).astype(np.float64)
    error = np.abs(human - predicted)
    rank = float(coefficients(human, predicted[:, None]).srocc[0]) if len(human) > 2 else np.nan
    names, member = np.unique(np.asarray(source, dtype=np.str_), return_inverse=True)
    ends: list[Interval] = [(np.nan, np.nan)] * 3
    if bootstrap and len(names) > 1:
        drawn = draw_resamples(len(names), bootstrap, seed)
        times = drawn[:, member]
        ranks = resampled_coefficients(human, predicted[:, None], member, drawn)[0][0, :, 0]
        ends = [interval(times @ same / times.sum(1)), interval(ranks), interval(times @ error / times.sum(1))]
    return Agreement(score, len(human), float(same.mean()), rank, float(error.mean()), *ends)
