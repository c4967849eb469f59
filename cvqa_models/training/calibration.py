"""Put a model's raw scores on the scale of a panel, with an interval in which viewers' scores of new sources lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from cvqa_models.metrics.correlation import Floats

Curve = Literal["monotone", "logistic", "none"]
CENTRED = 0.02  # share of the labels' deviation; if group means differ by less, someone set them to one value
_ROWS = 129  # rows of the table of a logistic curve: straight lines between them are within 0.1 % of the scale


@dataclass(frozen=True)
class Calibration:
    """A curve from raw scores to a panel's scale, and how far viewers' scores lie from it.

    Attributes:
        raw: Raw scores of the curve's points, rising.
        scale: Scores on the panel's scale at these points, not falling; between two points the curve is straight, and
            beyond the ends it is constant.
        radius: Half the width of the interval, in units of the scale.
        coverage: Share of the videos of a new source for which viewers' score lies in the interval.
        sources: Number of sources that the curve was fitted on.
        ends: Lowest and highest score of the scale.

    Raises:
        ValueError: If the numbers are not finite or not in this order.
    """

    raw: tuple[float, ...]
    scale: tuple[float, ...]
    radius: float
    coverage: float
    sources: int
    ends: tuple[float, float]

    def __post_init__(self) -> None:
        values = (*self.raw, *self.scale, self.radius, self.coverage, *self.ends)
        finite = all(type(value) in (int, float) and math.isfinite(value) for value in values)
        if not finite or not len(self.raw) == len(self.scale) >= 2 or len(self.ends) != 2:
            raise ValueError("A calibration needs two or more points of finite numbers, and two ends of the scale.")
        if (np.diff(self.raw) <= 0).any() or (np.diff(self.scale) < 0).any() or self.radius < 0:
            raise ValueError(
                "The raw scores of a calibration must rise, its curve must not fall, nor its radius be negative."
            )

    def __call__(self, raw: float) -> tuple[float, float, float]:
        """Return the score on the panel's scale, and the lower and upper end of its interval."""
        score = float(np.interp(raw, self.raw, self.scale))
        lowest, highest = self.ends
        return score, max(lowest, score - self.radius), min(highest, score + self.radius)

    def plain(self) -> dict[str, Any]:
        """Return the attributes as plain values, as a checkpoint holds them."""
        return asdict(self)


def from_plain(values: Any) -> Calibration:
    """Return a calibration from plain values, which may come from a stranger.

    Raises:
        ValueError: If they are not the values of a calibration.
    """
    names = set(Calibration.__dataclass_fields__)
    if not isinstance(values, Mapping) or set(values) != names:
        raise ValueError("`calibration` of the checkpoint is not valid; expected what `cvqa calibrate` wrote.")
    lists = {name: values[name] for name in ("raw", "scale", "ends")}
    if not all(isinstance(value, list | tuple) for value in lists.values()):
        raise ValueError("`calibration` of the checkpoint is not valid; expected what `cvqa calibrate` wrote.")
    return Calibration(**{**values, **{name: tuple(value) for name, value in lists.items()}})


def fit_calibration(
    raw: Sequence[float],
    mos: Sequence[float],
    sources: Sequence[str],
    groups: Sequence[str],
    ends: tuple[float, float],
    curve: Curve = "monotone",
    coverage: float = 0.9,
) -> Calibration:
    """Fit a curve from raw scores to viewers' scores on videos that the model was not trained on.

    The interval is conformal over sources (hierarchical conformal prediction, Lee, Barber and Willett 2023). Each
    source is held out once, and the distances of its videos from the curve of the other sources count together as one
    source. One further source counts as infinitely far. If new sources are like these, the interval holds about
    `coverage`.

    Args:
        raw: Raw score of each video.
        mos: Viewers' score of it, on one scale for all sources.
        sources: Its reference.
        groups: The set in which its score compares.
        ends: Lowest and highest score of the scale.
        curve: `monotone`, by isotonic regression; `logistic`, with four parameters, for few videos; or `none` for
            scores that are on the scale already, which get an interval only.
        coverage: Share of videos that the interval holds, above 0 and below 1.

    Raises:
        ValueError: If a number is out of range, labels compare inside groups only, there are too few sources for the
            interval, or scores fall where labels rise.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"`coverage` is {coverage}; expected a share above 0 and below 1.")
    x, y, names = np.asarray(raw, float), np.asarray(mos, float), np.asarray(sources)
    _check(x, y, np.asarray(groups), ends)
    distinct = np.unique(names)
    needed = math.ceil(coverage / (1 - coverage) - 1e-9)
    if len(distinct) < max(needed, 2):
        raise ValueError(
            f"The videos come from {len(distinct)} sources; an interval that holds {coverage:.0%} needs at least "
            f"{max(needed, 2)}. Take more sources, or a lower `coverage`."
        )
    distance = np.empty_like(y)
    for name in distinct:
        own = names == name
        distance[own] = np.abs(y[own] - np.interp(x[own], *_fitted(x[~own], y[~own], ends, curve)))
    points, values = _fitted(x, y, ends, curve)
    radius = _radius(distance, names, coverage)
    return Calibration(tuple(points.tolist()), tuple(values.tolist()), radius, coverage, len(distinct), ends)


def _check(raw: Floats, mos: Floats, groups: Any, ends: tuple[float, float]) -> None:
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"`scale` is {low} to {high}; expected its lowest and its highest score, such as 1 and 5.")
    outside = mos[(mos < low) | (mos > high)]
    if len(outside):
        raise ValueError(f"A label is {outside[0]}, outside the scale of {low} to {high}; give the panel's own scale.")
    if not np.isfinite(raw).all():
        raise ValueError("A score is no finite number; predict again.")
    means = [mos[groups == group].mean() for group in np.unique(groups)]
    if len(means) > 1 and np.ptp(means) < CENTRED * mos.std():
        raise ValueError(
            f"All {len(means)} groups have the mean label {means[0]:.3f}: these scores compare inside groups only, so "
            "no scale holds between them. Give labels of one scale, such as mean opinion scores."
        )
    if np.ptp(raw) == 0 or np.ptp(mos) == 0 or np.corrcoef(raw, mos)[0, 1] <= 0:
        raise ValueError(
            "Scores do not rise with the labels, so no curve puts them on their scale; `cvqa evaluate` shows the sign."
        )


def _fitted(raw: Floats, mos: Floats, ends: tuple[float, float], curve: Curve) -> tuple[Floats, Floats]:
    """Return the points of a curve: raw scores, rising, and scores on the scale, not falling."""
    if curve == "none":
        return np.array(ends, float), np.array(ends, float)
    from scipy.optimize import isotonic_regression  # slow to import, and scoring needs only the class above

    points, place, count = np.unique(raw, return_inverse=True, return_counts=True)
    if curve == "monotone":
        found = isotonic_regression(np.bincount(place, mos) / count, weights=count.astype(float))
        # Inside a block the curve is flat, so its two ends are enough.
        edge = np.diff(found.x, prepend=-np.inf, append=np.inf)
        kept = (edge[:-1] > 0) | (edge[1:] > 0)
        return (points[kept], found.x[kept]) if kept.sum() > 1 else (points[[0, -1]], found.x[[0, -1]])
    return _logistic(raw, mos, ends)


def _logistic(raw: Floats, mos: Floats, ends: tuple[float, float]) -> tuple[Floats, Floats]:
    from scipy.optimize import curve_fit

    low, high = ends
    middle, width = float(np.median(raw)), float(raw.std())

    def rising(x: Floats, lower: float, upper: float, place: float, log_width: float) -> Any:
        return lower + (upper - lower) / (1 + np.exp(-(x - place) / np.exp(log_width)))

    start = (float(mos.min()), float(mos.max()), middle, math.log(width))
    reach = 10 * width
    bounds = ((low, low, middle - reach, start[3] - 5), (high, high, middle + reach, start[3] + 5))
    inside = tuple(float(np.clip(value, below, above)) for value, below, above in zip(start, *bounds, strict=True))
    found, _ = curve_fit(rising, raw, mos, inside, bounds=bounds)
    # The points cover the range of the videos, and a little more.
    points = np.linspace(raw.min() - width, raw.max() + width, _ROWS)
    return points, np.maximum.accumulate(rising(points, *found))


def _radius(distance: Floats, sources: Any, coverage: float) -> float:
    """Return the distance within which `coverage` of the videos of a new source lie; each source has equal weight."""
    names, place, count = np.unique(sources, return_inverse=True, return_counts=True)
    weight = 1 / count[place] / (len(names) + 1)
    order = np.argsort(distance)
    reached = np.cumsum(weight[order]) >= coverage - 1e-12
    return float(distance[order][reached.argmax()]) if reached.any() else float(distance.max())
