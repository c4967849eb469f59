"""Turn an encoder's knob until its rate is right, in few tries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from cvqa_models.build.encoders import Knob

_MOST_TRIES = 8
_LONGEST_STEP = math.log(4)  # in log(rate), by the knob's own slope


def search(
    measure: Callable[[float], float], knob: Knob, target: float, tolerance: float, tries: Mapping[float, float]
) -> dict[float, float]:
    """Return all tries (setting -> kb/s) after turning a knob until a rate lies within `tolerance` of `target`.

    log(rate) is taken as a line in the knob's position: through the nearest tries on both sides of the target, else
    through the two nearest, else through one with the knob's own slope. The search stops early where the knob's
    steps are too coarse or its end is reached.

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
    near, *rest = below[::-1] or above
    usable = rest and (near[0] - rest[0][0]) * (near[1] - rest[0][1]) * knob.slope > 0
    wish = _crossing(near, rest[0]) if usable else near[1] - near[0] / knob.slope
    # An encoder near its end of the scale hardly answers, and its line would point far outside.
    reach = _LONGEST_STEP / abs(knob.slope)
    return knob.nearest(min(max(wish, near[1] - reach), near[1] + reach))


def _crossing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return the position at which the line through two points (distance, position) has no distance."""
    return a[1] - a[0] * (b[1] - a[1]) / (b[0] - a[0])
