"""Plots of a report, as matplotlib figures without a display."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cvqa_models.mistakes import printable

COLUMNS = 4
LONGEST = 44  # characters of a name above a panel


def prediction_against_score(frame: pd.DataFrame) -> Figure:
    """Return one panel per group: predicted score over human score, a colour per codec."""
    groups = sorted(frame["group"].unique())
    rows = math.ceil(len(groups) / COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    codecs = sorted(frame["codec"].unique())
    for axis in axes.flat[len(groups) :]:
        axis.set_axis_off()
    for axis, group in zip(axes.flat, groups, strict=False):
        _panel(axis, frame[frame["group"] == group], codecs)
        axis.set_title(_label(group), fontsize=10, parse_math=False)
    # Handles of our own, for matplotlib leaves names out of a legend that begin with `_`.
    handles = [Line2D([], [], marker="o", linestyle="", color=f"C{number % 10}") for number in range(len(codecs))]
    legend = figure.legend(handles, [" "] * len(codecs), loc="outside upper center", ncols=min(8, len(codecs)))
    for text, codec in zip(legend.get_texts(), codecs, strict=True):
        text.set(text=_label(codec), parse_math=False, fontsize=10)
    figure.supxlabel("subjective score", fontsize=11)
    figure.supylabel("predicted score", fontsize=11)
    return figure


def _panel(axis: Axes, part: pd.DataFrame, codecs: list[str]) -> None:
    for number, codec in enumerate(codecs):
        rows = part[part["codec"] == codec]
        axis.scatter(rows["mos"], rows["score"], s=22, color=f"C{number % 10}")
    axis.tick_params(labelsize=8)


def training_curves(log: pd.DataFrame) -> Figure:
    """Return the training loss and the validation coefficients over epochs, from Lightning's metrics.csv."""
    curves = [c for c in ("train/loss", "val/result", "val/srocc", "val/plcc", "val/krocc") if c in log]
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in curves:
        axis = left if name.startswith("train") else right
        points = log[["epoch", name]].dropna().groupby("epoch")[name].mean()
        axis.plot(points.index, points.to_numpy(), marker="." if len(points) < 60 else "", label=name)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        if axis.has_data():
            axis.legend(fontsize=8)
    return figure


def bars(values: Mapping[str, float], label: str) -> Figure:
    """Return named values as horizontal bars, the first on top; `label` says what they are."""
    figure = Figure(figsize=(6, 0.4 + 0.3 * len(values)), layout="constrained")
    axis = figure.subplots()
    places = range(len(values))
    axis.barh(places, list(values.values()))
    axis.set_yticks(places, [_label(name) for name in values], parse_math=False)
    axis.invert_yaxis()
    axis.set_xlabel(_label(label), fontsize=9, parse_math=False)
    axis.tick_params(labelsize=8)
    return figure


def _label(name: object) -> str:
    """Return a name as a plot shows it: on one line, cut where it is long, its `$` no mathematics."""
    text = printable(str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file's content."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands for what the font lacks
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
