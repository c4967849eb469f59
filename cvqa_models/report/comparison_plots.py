"""Pictures of a comparison of encoders: bars of delta rates, and curves, over all sources and for each."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cvqa_models.evaluation.delta_rates import Curve
from cvqa_models.evaluation.mean_curves import mean_curves
from cvqa_models.evaluation.rate_distortion import Comparison
from cvqa_models.metrics.bd_rate import log_rate
from cvqa_models.report.colours import Look, looks
from cvqa_models.report.plots import label_of, rate_ticks

PANELS = 3  # number of panels side by side
_SMOOTH = 60


def delta_bars(result: Comparison, score: str) -> Figure:
    """Return the mean delta rate of each encoder with its interval, and a dot for each source."""
    means = [one for one in result.means if one.score == score and not one.preset]
    means.sort(key=lambda one: one.percent)
    style = looks(result.encoders)
    figure = Figure(figsize=(7, 1.3 + 0.55 * len(means)), layout="constrained")
    axis = figure.subplots()
    for place, one in enumerate(means):
        axis.barh(place, one.percent, height=0.55, color=style[one.encoder].colour, alpha=0.75)
        if not math.isnan(one.low):
            axis.plot([one.low, one.high], [place, place], color="#1a1a1a", linewidth=1.6, marker="|", markersize=9)
        dots = [d.bd.percent for d in result.deltas if d.bd and (d.score, d.encoder) == (score, one.encoder)]
        axis.plot(dots, [place + 0.36] * len(dots), ".", color="#1a1a1a", markersize=4, alpha=0.7)
    axis.axvline(0, color="#1a1a1a", linewidth=1)
    axis.set_yticks(range(len(means)), [label_of(one.encoder) for one in means], parse_math=False)
    axis.invert_yaxis()
    axis.set_xlabel(f"rate against {label_of(result.anchor)} at equal {label_of(score)}, %", parse_math=False)
    axis.grid(axis="x", alpha=0.3)
    return figure


def mean_figure(result: Comparison, score: str) -> Figure | None:
    """Return the mean curve of each encoder over the sources with 95 % bars; None if the sources share no rates."""
    style = looks(result.encoders)
    curves = mean_curves(result.curves, score)
    if not curves:
        return None
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for name in result.encoders:
        if name not in curves:
            continue
        one, look = curves[name], style[name]
        sign = -1 if score in result.turned else 1
        axis.plot(one.rate, sign * one.quality, color=look.colour, label=" ", marker=look.marker, markersize=5)
        if one.low is not None and one.high is not None:
            bars = np.abs(np.stack([one.quality - one.low, one.high - one.quality]))
            axis.errorbar(
                one.rate, sign * one.quality, yerr=bars[::sign], fmt="none", ecolor=look.colour, capsize=2, alpha=0.35
            )
    _finish(axis, score, score in result.turned)
    _legend(axis, [name for name in result.encoders if name in curves])
    return figure


def source_figure(result: Comparison, score: str) -> Figure:
    """Return one panel per source (and preset): the encodes and curves between them, all with the same score axis."""
    own = [one for one in result.curves if one.score == score]
    units = list(dict.fromkeys((one.source, one.preset) for one in own))
    rows = math.ceil(len(units) / PANELS)
    figure = Figure(figsize=(3.7 * PANELS, 0.5 + 3.0 * rows), layout="constrained")
    axes = figure.subplots(rows, PANELS, squeeze=False, sharey=True)
    style = looks(result.encoders)
    for axis in axes.flat[len(units) :]:
        axis.set_axis_off()
    for axis, unit in zip(axes.flat, units, strict=False):
        for one in own:
            if (one.source, one.preset) == unit:
                _draw(axis, one, style[one.encoder], score in result.turned, result)
        axis.set_title(label_of(" ".join(part for part in unit if part)), fontsize=10, parse_math=False)
        _finish(axis, "", score in result.turned)
    if score in result.turned:
        axes[0, 0].invert_yaxis()
    handles = [axes[0, 0].plot([], [], color=look.colour, marker=look.marker)[0] for look in style.values()]
    legend = figure.legend(handles, [" "] * len(handles), loc="outside upper center", ncols=min(6, len(handles)))
    for text, name in zip(legend.get_texts(), style, strict=True):
        text.set(text=label_of(name), parse_math=False, fontsize=10)
    figure.supxlabel("bitrate, kb/s", fontsize=10)
    figure.supylabel(_axis_name(score, score in result.turned), fontsize=10, parse_math=False)
    return figure


def _draw(axis: Axes, curve: Curve, look: Look, turned: bool, result: Comparison) -> None:
    sign = -1 if turned else 1
    rows = result.videos
    own = rows[(rows["source"] == curve.source) & (rows["preset"] == curve.preset) & (rows["encoder"] == curve.encoder)]
    axis.plot(own["kbps"], own[curve.score], look.marker, color=look.colour, markersize=4.5)
    quality = np.linspace(curve.points.quality[0], curve.points.quality[-1], _SMOOTH)
    axis.plot(np.exp(log_rate(curve.points, result.interpolation)(quality)), sign * quality, color=look.colour)


def _finish(axis: Axes, score: str, turned: bool) -> None:
    axis.set_xscale("log")
    rate_ticks(axis)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    if score:
        axis.set_xlabel("bitrate, kb/s")
        axis.set_ylabel(_axis_name(score, turned), parse_math=False)
        if turned:
            axis.invert_yaxis()


def _axis_name(score: str, turned: bool) -> str:
    return f"{label_of(score)}, {'lower is better (axis turned)' if turned else 'higher is better'}"


def _legend(axis: Axes, names: list[str]) -> None:
    legend = axis.legend(loc="lower right")
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=label_of(name), parse_math=False, fontsize=10)
