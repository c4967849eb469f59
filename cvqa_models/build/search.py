"""Turn an encoder's knob until its rate is right, in few tries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from cvqa_models.build.encoders import Knob

_MOST_TRIES = 8
_LONGEST_STEP = math.log(4)  # in log(rate), by the knob's own slope
_WEIGHT = 0.1  # of the knob's own slope: as much as a try whose log(rate) is so far off


def search(
    measure: Callable[[float], float], knob: Knob, target: float, tolerance: float, tries: Mapping[float, float]
) -> dict[float, float]:
    """Return all tries (setting -> kb/s) after turning a knob until a rate lies within `tolerance` of `target`.

    log(rate) is taken as a line in the knob's position: through the nearest tries on both sides of the target, else
    from the nearest try with a slope between the knob's own and that of all tries. The search stops early where the
    knob's steps are too coarse or its end is reached.

    Args:
        measure: Encodes at a setting and returns its rate in kb/s.
        knob: The encoder's knob.
        target: Rate in kb/s.
        tolerance: Relative distance that is near enough.
        tries: Settings whose rates are known already.
    """
    known = dict(tries)
    for _ in range(_MOST_TRIES):
        if known and abs(known[nearest(known, target)] / target - 1) <= tolerance:
            break
        value = _next_setting(knob, target, known)
        if value in known:
            break
        known[value] = measure(value)
    return known


def nearest(tries: Mapping[float, float], target: float) -> float:
    """Return the setting whose rate is nearest to `target` in proportion."""
    return min(tries, key=lambda value: abs(math.log(tries[value] / target)))


def _next_setting(knob: Knob, target: float, known: Mapping[float, float]) -> float:
    if not known:
        return knob.nearest(knob.position(target if knob.start is None else knob.start))
    points = sorted((math.log(kbps / target), knob.position(value)) for value, kbps in known.items())
    below, above = [p for p in points if p[0] < 0], [p for p in points if p[0] >= 0]
    if below and above:
        return knob.nearest(_crossing(below[-1], above[0]))
    near = below[-1] if below else above[0]
    wish = near[1] - near[0] / _slope(knob, near, points)
    # An encoder near its end of the scale hardly answers, and its line would point far outside.
    reach = _LONGEST_STEP / abs(knob.slope)
    return knob.nearest(min(max(wish, near[1] - reach), near[1] + reach))


def _slope(knob: Knob, near: tuple[float, float], points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line through `near` that fits all points; the knob's own counts as one of them."""
    weight = (_WEIGHT / knob.slope) ** 2
    rise = weight * knob.slope + sum((p[0] - near[0]) * (p[1] - near[1]) for p in points)
    slope = rise / (weight + sum((p[1] - near[1]) ** 2 for p in points))
    return slope if slope * knob.slope > 0 else knob.slope


def _crossing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the position at which the line through two points (distance, position) has no distance."""
    return a[1] - a[0] * (b[1] - a[1]) / (b[0] - a[0])
