"""Delta rates of every source and encoder against the anchor, and their means over sources with paired intervals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from cvqa_models.evaluation.compared_videos import Columns
from cvqa_models.metrics.bd_rate import BdRate, Interpolation, RateCurve, bd_rate, rate_curve
from cvqa_models.metrics.bootstrap import Difference, difference, draw_resamples, interval
from cvqa_models.metrics.convex_hull import upper_hull
from cvqa_models.metrics.correlation import Floats

SMALL = 0.5  # share of the qualities below which an overlap is flagged
FEW = 4  # usual number of points of a curve; fewer are flagged
UNIT = ["source", "preset"]


@dataclass(frozen=True)
class Curve:
    """Quality over rate, of one encoder on one source, by one score; larger is better."""

    score: str
    source: str
    preset: str
    encoder: str
    points: RateCurve
    sizes: int


@dataclass(frozen=True)
class Delta:
    """An encoder against the anchor on one source, by one score.

    Attributes:
        score: Name of the score.
        source: The source.
        preset: The preset, empty if unknown or if presets are compared.
        encoder: Encoder that is compared with the anchor.
        bd: Delta rate; None if there is none.
        reason: Why there is none, without a subject; empty if the curve itself could not be drawn.
        flags: Warnings about it, each in a few words.
    """

    score: str
    source: str
    preset: str
    encoder: str
    bd: BdRate | None
    reason: str = ""
    flags: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return in words which encoder, source, preset and score the delta is of, for messages."""
        return _place(self.score, self.source, self.preset, self.encoder)


@dataclass(frozen=True)
class MeanDelta:
    """Mean delta rate of an encoder over sources, in percent.

    Attributes:
        score: Name of the score.
        encoder: The encoder.
        preset: The preset, empty for the mean over all.
        percent: Mean over sources of each source's mean over its presets.
        low: Lower end of the 95 % interval; NaN without one.
        high: Upper end.
        sources: Number of sources in the mean.
        flagged: Number of their deltas that have a flag.
    """

    score: str
    encoder: str
    preset: str
    percent: float
    low: float
    high: float
    sources: int
    flagged: int


def _place(score: str, source: str, preset: str, encoder: str) -> str:
    return f"{encoder} of {source}{f', preset {preset},' if preset else ''} by `{score}`"


def curves_of(videos: pd.DataFrame, columns: Columns) -> tuple[list[Curve], list[str]]:
    """Return every curve that can be drawn, and a sentence for each curve that cannot, and for each score that falls.

    Args:
        videos: Columns `source`, `preset`, `encoder`, `lines`, `kbps`, and the scores.
        columns: The scores.
    """
    curves: list[Curve] = []
    problems: list[str] = []
    for score in columns.values:
        sign = -1.0 if score in columns.turned else 1.0
        known = videos[videos[score].notna()].assign(quality=lambda rows, s=score, f=sign: f * rows[s])  # type: ignore[misc]
        groups: dict[tuple[str, str, str], pd.DataFrame] = {}
        for (source, preset, encoder), rows in known.groupby([*UNIT, "encoder"], sort=True):
            groups[str(source), str(preset), str(encoder)] = rows
        falling = [key for key, rows in groups.items() if _falls(rows)]
        if len(falling) > len(groups) / 2:
            hint = (
                "its name is turned round; rename the column"
                if score in columns.turned
                else (f"if lower is better, say so with `--lower-is-better {score}`")
            )
            problems.append(f"`{score}` falls as the rate rises in {len(falling)} of {len(groups)} curves; {hint}.")
            continue
        for key, rows in groups.items():
            drawn = _curve(score, *key, rows)
            if isinstance(drawn, Curve):
                curves.append(drawn)
            else:
                problems.append(drawn)
    return curves, problems


def _curve(score: str, source: str, preset: str, encoder: str, rows: pd.DataFrame) -> Curve | str:
    """Return a curve, or a sentence that says why there is none."""
    try:
        return Curve(score, source, preset, encoder, *_points(rows))
    except ValueError as error:
        return f"{_place(score, source, preset, encoder)} {error}."


def _falls(rows: pd.DataFrame) -> bool:
    ends = rows.loc[[rows["kbps"].idxmin(), rows["kbps"].idxmax()], "quality"]
    return bool(ends.iloc[1] < ends.iloc[0])


def _points(rows: pd.DataFrame) -> tuple[RateCurve, int]:
    """Return the curve of the encodes (for several sizes, their hull) and the number of sizes."""
    sizes = rows["lines"].nunique()
    rate, quality = rows["kbps"].to_numpy(dtype=np.float64), rows["quality"].to_numpy(dtype=np.float64)
    if sizes > 1:
        hull = upper_hull(rate, quality)
        return rate_curve(rate[hull], quality[hull]), sizes
    return rate_curve(rate, quality), sizes


def deltas_of(
    videos: pd.DataFrame,
    curves: Sequence[Curve],
    anchor: str,
    interpolation: Interpolation,
    turned: Collection[str] = (),
) -> list[Delta]:
    """Return the delta of every source, preset and encoder of the table except the anchor, by every score."""
    drawn = {(one.score, one.source, one.preset, one.encoder): one for one in curves}
    units = videos[[*UNIT, "encoder"]].drop_duplicates().sort_values([*UNIT, "encoder"])
    there = set(units.itertuples(index=False, name=None))
    found = []
    for score in dict.fromkeys(one.score for one in curves):
        for source, preset, encoder in units.itertuples(index=False, name=None):
            if encoder == anchor:
                continue
            ours, theirs = drawn.get((score, source, preset, encoder)), drawn.get((score, source, preset, anchor))
            if theirs is None and (source, preset, anchor) not in there:
                reason = f"has no {anchor} beside it; encode this source with the anchor too, or leave it out"
                found.append(Delta(score, source, preset, encoder, None, reason))
            elif ours is None or theirs is None:
                found.append(Delta(score, source, preset, encoder, None))
            else:
                found.append(_delta(ours, theirs, interpolation, -1 if score in turned else 1))
    return found


def _delta(ours: Curve, anchor: Curve, interpolation: Interpolation, sign: int) -> Delta:
    key = (ours.score, ours.source, ours.preset, ours.encoder)
    try:
        bd = bd_rate(anchor.points, ours.points, interpolation)
    except ValueError as error:
        ends = [sign * one.points.quality[[0, -1]] for one in (ours, anchor)]
        spans = " and ".join(f"{low:.4g} to {high:.4g}" for low, high in ends)
        return Delta(*key, None, f"{error} (they span {spans})")
    flags = []
    if bd.crossings:
        flags.append(f"curves cross at {', '.join(f'{sign * place:.4g}' for place in bd.crossings[:3])}")
    for name, one in (("", ours), ("anchor ", anchor)):
        if one.points.passed_over:
            flags.append(f"{name}not monotone, {one.points.passed_over} points passed over")
        if len(one.points.rate) < FEW:
            flags.append(f"{name}only {len(one.points.rate)} points")
    if bd.share < SMALL:
        flags.append(f"overlap is only {bd.share:.0%}")
    return Delta(*key, bd, "", tuple(flags))


def means_of(deltas: Sequence[Delta], bootstrap: int, seed: int) -> list[MeanDelta]:
    """Return the means over sources of each score and encoder; and of each preset, if there are several."""
    names = list(dict.fromkeys(one.source for one in deltas))
    drawn = draw_resamples(len(names), bootstrap, seed) if bootstrap and len(names) > 1 else None
    presets = sorted({one.preset for one in deltas if one.bd})
    found = []
    for score, encoder in dict.fromkeys((one.score, one.encoder) for one in deltas if one.bd):
        own = [one for one in deltas if one.bd and (one.score, one.encoder) == (score, encoder)]
        for preset in ["", *(presets if len(presets) > 1 else [])]:
            part = [one for one in own if not preset or one.preset == preset]
            if part:
                found.append(_mean(part, score, encoder, preset, names, drawn))
    return found


def _mean(
    part: Sequence[Delta], score: str, encoder: str, preset: str, names: Sequence[str], drawn: Floats | None
) -> MeanDelta:
    values = _by_source(part, names)
    low, high = (np.nan, np.nan) if drawn is None else interval(_resampled(values, drawn))
    known = int((~np.isnan(values)).sum())
    flagged = sum(bool(one.flags) for one in part)
    return MeanDelta(score, encoder, preset, float(np.nanmean(values)), low, high, known, flagged)


def _by_source(part: Sequence[Delta], names: Sequence[str]) -> Floats:
    """Return the mean of each source's deltas in percent, NaN for a source without deltas, shape (S,)."""
    held: dict[str, list[float]] = {name: [] for name in names}
    for one in part:
        if one.bd is not None:
            held[one.source].append(one.bd.percent)
    return np.array([np.mean(own) if own else np.nan for own in held.values()])


def _resampled(values: Floats, drawn: Floats) -> Floats:
    """Return the mean in each resample of the sources, shape (R,); NaN if no source with a value was drawn."""
    known = ~np.isnan(values)
    weight = drawn[:, known].sum(1)
    total = drawn[:, known] @ values[known]
    return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)


def differences(
    deltas: Sequence[Delta], score: str, bootstrap: int, seed: int
) -> list[tuple[tuple[str, str], Difference]]:
    """Return the paired difference of each two encoders' means, over the sources that both have, in percentage points.

    Both are computed on the same resamples of the sources; without resamples there are no differences.
    """
    own = [one for one in deltas if one.score == score and one.bd]
    names = list(dict.fromkeys(one.source for one in own))
    if not bootstrap or len(names) < 2:
        return []
    drawn = draw_resamples(len(names), bootstrap, seed)
    by = {
        encoder: _by_source([one for one in own if one.encoder == encoder], names)
        for encoder in dict.fromkeys(one.encoder for one in own)
    }
    found = []
    for first, second in combinations(by, 2):
        both = ~np.isnan(by[first] + by[second])
        if both.any():
            a, b = (np.where(both, by[name], np.nan) for name in (first, second))
            gap = difference(float(np.nanmean(a)), float(np.nanmean(b)), _resampled(a, drawn), _resampled(b, drawn))
            found.append(((first, second), gap))
    return found
