"""Confidence intervals and paired comparisons by resampling references.

Videos of one reference are judged together and share content, so a reference, with all its groups, is what is drawn.
A group's coefficients do not change with the draw; only how often the group counts does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvqa_models.metrics.correlation import Floats


@dataclass(frozen=True)
class Difference:
    """A paired difference of two `result`s over the same resamples.

    Attributes:
        value: Difference on the data as it is.
        low: Lower end of the 95 % interval.
        high: Upper end.
        probability: Share of resamples in which the difference is positive.
    """

    value: float
    low: float
    high: float
    probability: float


def draw_references(reference: Sequence[str], resamples: int, seed: int = 0) -> Floats:
    """Return how often each group counts in each resample, shape (R, G).

    Args:
        reference: Reference of each of the G groups.
        resamples: Number R of resamples.
        seed: Seed of the draw.

    Raises:
        ValueError: If there are less than two references or no resamples.
    """
    names, member = np.unique(np.asarray(reference, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"An interval over references needs at least 2; the table has {len(names)}. Use `bootstrap=0`."
        )
    if resamples < 1:
        raise ValueError(f"`resamples` is {resamples}; expected a positive number.")
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    drawn: Floats = counts[:, member].astype(np.float64)
    return drawn


def interval(values: Floats) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of resampled values, shape (R,), without those where no group counted."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def difference(value: float, other: float, values: Floats, others: Floats) -> Difference:
    """Return value - other with its interval, from values of both over the same resamples, shape (R,) each."""
    gap = values - others
    low, high = interval(gap)
    return Difference(value - other, low, high, float(np.mean(gap[~np.isnan(gap)] > 0)) if len(gap) else float("nan"))
