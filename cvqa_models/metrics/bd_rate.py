"""Bjøntegaard's delta rate: how much more bitrate one curve takes than another for the same quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

from cvqa_models.metrics.correlation import Floats

Interpolation = Literal["pchip", "akima"]

APART = 1.01  # ratio of rates; if curves stay nearer than this on one side of a crossing, they only touch
_STEPS = 1000


@dataclass(frozen=True)
class RateCurve:
    """The rising points of a curve of quality over bitrate.

    Attributes:
        rate: Bitrates, rising, any unit, shape (n,), n >= 2.
        quality: Qualities, rising, larger is better, shape (n,).
        passed_over: Number of points that were left out, because a cheaper point is as good or better: the given curve
            is then not monotone.
    """

    rate: Floats
    quality: Floats
    passed_over: int = 0


@dataclass(frozen=True)
class BdRate:
    """A delta rate, and the range of qualities over which it was computed.

    Attributes:
        percent: Mean difference of rate at equal quality, relative to the anchor; negative saves rate.
        low: Lower end of the qualities that both curves reach, over which the mean is taken.
        high: Upper end.
        share: Length of that range, divided by the length of the range that at least one curve reaches, in (0, 1].
        crossings: Qualities at which the curves cross, if their rates differ by more than 1 % on both sides.
    """

    percent: float
    low: float
    high: float
    share: float
    crossings: tuple[float, ...]

    @property
    def log2(self) -> float:
        """Return the delta rate as the log2 of a ratio of rates: 1 is twice the rate."""
        return float(np.log2(1 + self.percent / 100))


def rate_curve(rate: Floats, quality: Floats) -> RateCurve:
    """Return the curve through points in any order.

    A point is left out, and counted, if a cheaper point is as good or better: quality must rise, so that each quality
    has one rate.

    Args:
        rate: Bitrates, any unit, shape (n,).
        quality: Qualities, larger is better, shape (n,).

    Raises:
        ValueError: If a rate is not positive or is repeated, or fewer than two points rise. The sentence has no
            subject, because only the caller knows whose curve it is.
    """
    order = np.argsort(rate, kind="stable")
    rate, quality = np.asarray(rate, dtype=np.float64)[order], np.asarray(quality, dtype=np.float64)[order]
    if len(rate) and not rate[0] > 0:
        raise ValueError(f"has a rate of {rate[0]:g}; expected positive rates")
    if len(rate) < 2:
        raise ValueError(f"has {len(rate)} rate; a curve needs at least 2, better 4")
    twice = rate[1:][np.diff(rate) == 0]
    if len(twice):
        raise ValueError(f"has two points at the rate {twice[0]:g}; expected different rates, so keep one of them")
    best = np.maximum.accumulate(quality)
    rising = np.concatenate([[True], quality[1:] > best[:-1]])
    if rising.sum() < 2:
        raise ValueError("does not rise with the rate; expected a larger score at a higher rate")
    return RateCurve(rate[rising], quality[rising], int((~rising).sum()))


def bd_rate(anchor: RateCurve, test: RateCurve, interpolation: Interpolation = "pchip") -> BdRate:
    """Return the mean difference of log rate at equal quality, as a percentage of the anchor's rate.

    Log rate is interpolated over quality and integrated over the qualities that both curves reach; nothing is
    extrapolated. After G. Bjøntegaard (VCEG-M33), with the interpolations that Herglotz et al. ("Beyond Bjøntegaard",
    ICIP 2022) compare.

    Args:
        anchor: The curve with which the other is compared.
        test: The other curve.
        interpolation: Monotone cubic (PCHIP), or Akima's, which may overshoot if there are few points. Two points are
            joined by a line.

    Raises:
        ValueError: If there is no quality that both reach. The sentence has no subject.
    """
    low = max(anchor.quality[0], test.quality[0])
    high = min(anchor.quality[-1], test.quality[-1])
    if not low < high:
        raise ValueError("has no overlap with the anchor, and nothing is extrapolated; add rates between")
    ours, theirs = log_rate(test, interpolation), log_rate(anchor, interpolation)
    mean = float(ours.integrate(low, high) - theirs.integrate(low, high)) / (high - low)
    whole = max(anchor.quality[-1], test.quality[-1]) - min(anchor.quality[0], test.quality[0])
    places = np.linspace(low, high, _STEPS)
    crossings = _crossings(places, ours(places) - theirs(places))
    return BdRate(100 * float(np.expm1(mean)), float(low), float(high), float((high - low) / whole), crossings)


def log_rate(curve: RateCurve, interpolation: Interpolation = "pchip") -> Akima1DInterpolator | PchipInterpolator:
    """Return the natural logarithm of the rate as a function of quality."""
    if interpolation == "akima" and len(curve.rate) > 2:
        return Akima1DInterpolator(curve.quality, np.log(curve.rate))
    return PchipInterpolator(curve.quality, np.log(curve.rate))


def _crossings(places: Floats, gap: Floats) -> tuple[float, ...]:
    """Return where a difference of log rates changes its sign and is then larger than `APART`."""
    clear: NDArray[np.int64] = np.flatnonzero(np.abs(gap) > np.log(APART))
    turns = np.flatnonzero(np.diff(np.sign(gap[clear])) != 0)
    found = []
    for before, after in zip(clear[turns], clear[turns + 1], strict=True):
        inside = np.arange(before, after + 1)
        found.append(float(places[inside[np.argmin(np.abs(gap[inside]))]]))
    return tuple(found)
