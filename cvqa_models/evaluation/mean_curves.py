"""The mean curve of an encoder over sources, at rates that all its sources reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from cvqa_models.evaluation.delta_rates import Curve
from cvqa_models.metrics.bootstrap import draw_resamples
from cvqa_models.metrics.correlation import Floats

PLACES = 6
RESAMPLES = 500


class MeanCurve(NamedTuple):
    """Mean quality at rates that all sources of an encoder reach, with the ends of its 95 % interval over sources."""

    rate: Floats
    quality: Floats
    low: Floats | None
    high: Floats | None


def mean_curves(curves: Sequence[Curve], score: str) -> dict[str, MeanCurve]:
    """Return the mean curve of each encoder, over its sources and presets; no curve if they have no rates in common.

    Quality is interpolated over log rate by a monotone cubic, between rates that every curve of the encoder reaches.
    """
    found = {}
    for encoder in dict.fromkeys(one.encoder for one in curves if one.score == score):
        own = [one for one in curves if (one.score, one.encoder) == (score, encoder)]
        low, high = max(one.points.rate[0] for one in own), min(one.points.rate[-1] for one in own)
        if low < high:
            rate = np.geomspace(low, high, PLACES)
            found[encoder] = MeanCurve(rate, *_mean(own, rate))
    return found


def _mean(curves: Sequence[Curve], rate: Floats) -> tuple[Floats, Floats | None, Floats | None]:
    sources = list(dict.fromkeys(one.source for one in curves))
    # The ends of `geomspace` may have rounding errors, and nothing may be extrapolated.
    drawn = [
        PchipInterpolator(np.log(one.points.rate), one.points.quality)(
            np.log(rate).clip(np.log(one.points.rate[0]), np.log(one.points.rate[-1]))
        )
        for one in curves
    ]
    values = np.stack(
        [np.mean([q for q, one in zip(drawn, curves, strict=True) if one.source == name], axis=0) for name in sources]
    )
    if len(sources) < 2:
        return values[0], None, None
    resampled = draw_resamples(len(sources), RESAMPLES) @ values / len(sources)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return values.mean(0), low, high
