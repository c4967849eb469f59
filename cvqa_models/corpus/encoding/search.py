"""Search the setting of an encoder that gives a wanted rate, in few tries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from cvqa_models.corpus.encoding.encoders import Knob

_MOST_TRIES = 8
_LONGEST_STEP = math.log(4)  # in log(rate), if the knob's own slope holds
_WEIGHT = 0.1  # the knob's own slope counts as much as a try whose log(rate) is so far away


def search(
    measure: Callable[[float], float], knob: Knob, target: float, tolerance: float, tries: Mapping[float, float]
) -> dict[float, float]:
    """Return all tries (setting -> kb/s) of a search for a rate within `tolerance` of `target`.

    log(rate) is taken as a straight line in the knob's position. The line goes through the nearest tries on both sides
    of the target; if all are on one side, it goes through the nearest try, with a slope between the knob's own slope
    and that of all tries. The search stops early if the knob's steps are too coarse, or its end is reached.

    Args:
        measure: Encodes at a setting and returns its rate in kb/s.
        knob: The encoder's knob.
        target: Rate in kb/s.
        tolerance: Largest relative distance from the target.
        tries: Settings whose rates are already known.
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
    """Return the setting whose rate is relatively nearest to `target`."""
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
    # Near the end of its scale an encoder's rate hardly changes, and the line would point far outside.
    reach = _LONGEST_STEP / abs(knob.slope)
    return knob.nearest(min(max(wish, near[1] - reach), near[1] + reach))


def _slope(knob: Knob, near: tuple[float, float], points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the line through `near` that fits all points best; the knob's own slope is one point."""
    weight = (_WEIGHT / knob.slope) ** 2
    rise = weight * knob.slope + sum((p[0] - near[0]) * (p[1] - near[1]) for p in points)
    slope = rise / (weight + sum((p[1] - near[1]) ** 2 for p in points))
    return slope if slope * knob.slope > 0 else knob.slope


def _crossing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the position at which the line through two points (distance, position) has distance 0."""
    return a[1] - a[0] * (b[1] - a[1]) / (b[0] - a[0])
