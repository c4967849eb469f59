"""Plots of the distance between predictions and labels: by codec, rate and source, and over all groups together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cvqa_models.metrics.correlation import Floats
from cvqa_models.report.colours import looks
from cvqa_models.report.plots import label_of, named_legend, rate_ticks

MOST = 24  # largest number of sources that fit side by side
BINS = 8
_GREY = "#6b6b6b"


def fitted(frame: pd.DataFrame) -> Floats:
    """Return the predictions on the labels' scale, shape (N,): a line is fitted to each group, and never falls.

    Scores of different groups do not compare, so one line for all would not be fair. A group in reversed order, or with
    equal scores, gets its mean label. A group of one video gets NaN.

    Args:
        frame: Table with `group`, `mos` and `score`.
    """
    out = np.full(len(frame), np.nan)
    for rows in frame.groupby("group").indices.values():
        mos, score = (frame[name].to_numpy(dtype=np.float64)[rows] for name in ("mos", "score"))
        known = ~np.isnan(mos)
        if known.sum() < 2:
            continue
        x, y = score[known] - score[known].mean(), mos[known] - mos[known].mean()
        slope = max(0.0, float(x @ y) / float(x @ x)) if x.any() else 0.0
        out[rows] = mos[known].mean() + slope * (score - score[known].mean())
    return out


def residual_figure(frame: pd.DataFrame) -> Figure | None:
    """Return predicted minus human scores, by codec, by bitrate and by source; None if there are no such values.

    For a codec, a bar shows the mean. For a source the mean is always 0, because its groups have their own lines.

    Args:
        frame: Joined table of `report.tables.join`.
    """
    off = fitted(frame) - frame["mos"].to_numpy(dtype=np.float64)
    known = ~np.isnan(off)
    if not known.any():
        return None
    table = frame[known].assign(off=off[known])
    style = looks(sorted(frame["codec"].unique()))
    rated = table["bitrate_kbps"].gt(0)
    sources = sorted(table["reference"].unique(), key=lambda name: -_spread(table, name))[:MOST]
    widths = [1 + 0.35 * len(style), *([3.2] if rated.any() else []), 1 + 0.3 * len(sources)]
    figure = Figure(figsize=(min(15.0, 2.0 + sum(widths)), 3.8), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, len(widths), sharey=True, width_ratios=widths)))
    _strips(axes[0], table, "codec", sorted(style), "codec")
    for place, codec in enumerate(sorted(style)):
        mean = table.loc[table["codec"] == codec, "off"].mean()
        axes[0].plot([place - 0.35, place + 0.35], [mean] * 2, color="#1a1a1a", linewidth=2)
    if rated.any():
        for codec, look in style.items():
            own = table[rated & (table["codec"] == codec)]
            axes[1].plot(own["bitrate_kbps"], own["off"], look.marker, color=look.colour, markersize=4, alpha=0.8)
        axes[1].set_xscale("log")
        rate_ticks(axes[1])
        axes[1].set_xlabel("bitrate, kb/s", fontsize=9)
    _strips(axes[-1], table, "reference", sources, "source, the worst predicted first")
    for axis in axes:
        axis.axhline(0, color="#1a1a1a", linewidth=1)
        axis.grid(axis="y", alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("predicted less scored,\npoints of the labels' scale", fontsize=9)
    named_legend(figure, style)
    return figure


def _spread(table: pd.DataFrame, source: str) -> float:
    return float(np.sqrt((table.loc[table["reference"] == source, "off"] ** 2).mean()))


def _strips(axis: Axes, table: pd.DataFrame, column: str, names: Sequence[str], label: str) -> None:
    """Draw the residuals of each name side by side."""
    style = looks(sorted(table["codec"].unique()))
    for place, name in enumerate(names):
        own = table[table[column] == name]
        for codec, part in own.groupby("codec"):
            step = np.linspace(-0.22, 0.22, len(part)) if len(part) > 1 else np.zeros(1)
            look = style[str(codec)]
            axis.plot(place + step, part["off"], look.marker, color=look.colour, markersize=3.5, alpha=0.7)
    axis.set_xticks(range(len(names)), [label_of(name) for name in names], rotation=40, ha="right", parse_math=False)
    axis.set_xlim(-0.6, len(names) - 0.4)
    axis.set_xlabel(label, fontsize=9)


def calibration_figure(frame: pd.DataFrame) -> Figure | None:
    """Return labels over predictions of all groups together, with the mean of equal shares of the videos.

    The solid line is the least-squares fit. The dashed line marks equal values, and is drawn if the two scales overlap.
    None if there are no two different predictions with labels.

    Args:
        frame: Joined table of `report.tables.join`.
    """
    table = frame[frame["mos"].notna()]
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("score", "mos"))
    if len(x) < 2 or x.min() == x.max():
        return None
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axis = figure.subplots()
    style = looks(sorted(frame["codec"].unique()))
    for codec, look in style.items():
        own = (table["codec"] == codec).to_numpy()
        axis.plot(x[own], y[own], look.marker, color=look.colour, markersize=4, alpha=0.45)
    slope, height = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    axis.plot(ends, slope * ends + height, color="#1a1a1a", linewidth=1.4)
    meet = min(x.max(), y.max()) - max(x.min(), y.min())
    if meet > 0.5 * min(np.ptp(x), np.ptp(y)):
        axis.plot(ends, ends, color=_GREY, linewidth=1.2, linestyle=(0, (4, 3)))
    for rows in np.array_split(np.argsort(x, kind="stable"), min(BINS, max(1, len(x) // 3))):
        error = 1.96 * y[rows].std() / math.sqrt(len(rows))
        axis.errorbar(x[rows].mean(), y[rows].mean(), error, fmt="o", color="#1a1a1a", markersize=6, capsize=3)
    axis.set_xlabel("predicted score", fontsize=10)
    axis.set_ylabel("subjective score", fontsize=10)
    axis.set_title(f"one line for all groups: slope {slope:.3g}, PLCC {_pearson(x, y):.3f}", fontsize=10)
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)
    named_legend(figure, style)
    return figure


def _pearson(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(y) else math.nan
