"""Plots of a report, as matplotlib figures without a display."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = 4


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
        axis.set_title(str(group), fontsize=10)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(8, len(codecs)), fontsize=10)
    figure.supxlabel("subjective score", fontsize=11)
    figure.supylabel("predicted score", fontsize=11)
    return figure


def _panel(axis: Axes, part: pd.DataFrame, codecs: list[str]) -> None:
    for number, codec in enumerate(codecs):
        rows = part[part["codec"] == codec]
        axis.scatter(rows["mos"], rows["score"], s=22, color=f"C{number % 10}", label=codec)
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
    axis.barh(list(values), list(values.values()))
    axis.invert_yaxis()
    axis.set_xlabel(label, fontsize=9)
    axis.tick_params(labelsize=8)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
