"""Plots of a report, as matplotlib figures without a display."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from cvqa_models.messages import printable
from cvqa_models.report.colours import Look, looks

COLUMNS = 4
LONGEST = 44  # characters of a name above a panel


def prediction_against_score(frame: pd.DataFrame) -> Figure:
    """Return one panel per group: predicted score over human score, with a colour per codec."""
    groups = sorted(frame["group"].unique())
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(max(6.4, 3.2 * columns), 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    style = looks(sorted(frame["codec"].unique()))
    for axis in axes.flat[len(groups) :]:
        axis.set_axis_off()
    for axis, group in zip(axes.flat, groups, strict=False):
        _panel(axis, frame[frame["group"] == group], style)
        axis.set_title(label_of(group), fontsize=10, parse_math=False)
    named_legend(figure, style)
    figure.supxlabel("subjective score", fontsize=11)
    figure.supylabel("predicted score", fontsize=11)
    return figure


def _panel(axis: Axes, part: pd.DataFrame, style: Mapping[str, Look]) -> None:
    for codec, look in style.items():
        rows = part[part["codec"] == codec]
        axis.plot(rows["mos"], rows["score"], look.marker, color=look.colour, markersize=5)
    axis.tick_params(labelsize=8)


def named_legend(figure: Figure, style: Mapping[str, Look]) -> None:
    """Put a legend above the panels, from name -> look; the look of a codec is the same in every picture."""
    # Handles are made here, because matplotlib leaves out names that begin with `_`.
    handles = [Line2D([], [], marker=look.marker, linestyle="", color=look.colour) for look in style.values()]
    legend = figure.legend(handles, [" "] * len(style), loc="outside upper center", ncols=min(8, len(style)))
    for text, codec in zip(legend.get_texts(), style, strict=True):
        text.set(text=label_of(codec), parse_math=False, fontsize=10)


def training_curves(log: pd.DataFrame) -> Figure:
    """Return the training loss and the validation coefficients over epochs, from Lightning's metrics.csv.

    A step that was repeated, because the run was killed after it, counts once, with its last values.
    """
    curves = [c for c in ("train/loss", "val/result", "val/srocc", "val/plcc", "val/krocc") if c in log]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    style = looks(curves)
    for name in curves:
        axis = left if name.startswith("train") else right
        rows = log[["epoch", "step", name]].dropna().drop_duplicates("step", keep="last")
        points = rows.groupby("epoch")[name].mean()
        marker = "." if len(points) < 60 else ""
        axis.plot(points.index, points.to_numpy(), marker=marker, label=name, color=style[name].colour)
    for axis, label in ((left, "loss of training (lower is better)"), (right, "validation, 1 is perfect")):
        axis.set_xlabel("epoch")
        axis.set_ylabel(label, fontsize=9)
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend(fontsize=8)
    return figure


def rate_ticks(axis: Axes) -> None:
    """Write bitrates along a logarithmic axis as plain numbers: 1, 2, 5, 10, ..."""
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    low, high = axis.get_xlim()
    ticks = [m * 10**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high))) for m in (1, 2, 5)]
    axis.set_xticks([tick for tick in ticks if low <= tick <= high] or [round(low), round(high)])


def bars(values: Mapping[str, float], label: str) -> Figure:
    """Return named values as horizontal bars, the first on top; `label` is the label of the axis."""
    figure = Figure(figsize=(6, 0.4 + 0.3 * len(values)), layout="constrained")
    axis = figure.subplots()
    places = range(len(values))
    axis.barh(places, list(values.values()))
    axis.set_yticks(places, [label_of(name) for name in values], parse_math=False)
    axis.invert_yaxis()
    axis.set_xlabel(label_of(label), fontsize=9, parse_math=False)
    axis.tick_params(labelsize=8)
    return figure


def label_of(name: object) -> str:
    """Return a name for a plot: on one line, cut if it is long, and with `$` not taken as mathematics."""
    text = printable(str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    return _saved(figure, format="png", dpi=110)


def svg(figure: Figure) -> bytes:
    """Return a figure as the content of an SVG file, the same bytes each time, with text as text."""
    with rc_context({"svg.hashsalt": "cvqa", "svg.fonttype": "none"}):
        return _saved(figure, format="svg", metadata={"Date": None})


def _saved(figure: Figure, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # missing letters are shown as boxes
        figure.savefig(buffer, **settings)
    return buffer.getvalue()
