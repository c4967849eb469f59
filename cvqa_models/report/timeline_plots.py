"""A plot of scores over time, with cuts, freezes and the worst parts, whose frames are shown below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from cvqa_models.report.colours import Look, looks
from cvqa_models.report.plots import label_of
from cvqa_models.video.pixel_rules import Frame

if TYPE_CHECKING:
    from cvqa_models.inference.timeline import Timeline

SHOWN = 3  # frames of each video that are shown below
INK = "#1a1a1a"


def timeline_figure(timelines: Mapping[str, Timeline], stills: Mapping[str, Sequence[Frame]]) -> Figure:
    """Return the scores of one or more videos over a common time axis.

    A dashed line is a cut. A band (for several files: a bar at the top) is a freeze. A number marks one of the worst
    parts, whose frame is shown below.

    Args:
        timelines: Video -> its timeline.
        stills: Video -> the frames `worst` of its `timeline.worst(SHOWN)`, RGB, uint8, (H, W, 3).
    """
    rows = [name for name in timelines if stills.get(name)]
    names = _short(list(timelines))
    style = dict(zip(timelines, looks(names.values()).values(), strict=True))
    shapes = [stills[name][0].shape for name in rows]
    height = max((shape[0] / shape[1] for shape in shapes), default=0)
    high = [3.0, *[min(3.0 * height, 3.4) + 0.25] * len(rows)]
    figure = Figure(figsize=(9.5, sum(high) + 0.4), layout="constrained")
    grid = figure.add_gridspec(len(high), SHOWN, height_ratios=high)
    axis = figure.add_subplot(grid[0, :])
    for number, (name, one) in enumerate(timelines.items()):
        _draw(axis, one, style[name])
        _freezes(axis, one, style[name].colour, number if len(timelines) > 1 else None)
    _finish(axis, list(timelines.values()))
    if len(timelines) > 1:
        handles = [axis.plot([], [], color=look.colour, marker=look.marker)[0] for look in style.values()]
        legend = figure.legend(handles, [" "] * len(handles), loc="outside upper center", ncols=min(4, len(handles)))
        for text, name in zip(legend.get_texts(), names.values(), strict=True):
            text.set(text=label_of(name), parse_math=False, fontsize=10)
    else:
        axis.set_title(label_of(next(iter(names.values()))), fontsize=10, parse_math=False)
    for row, name in enumerate(rows, start=1):
        pairs = zip(timelines[name].worst(SHOWN), stills[name], strict=True)
        for place, (part, still) in enumerate(pairs):
            panel = figure.add_subplot(grid[row, place])
            panel.imshow(still)
            panel.set_axis_off()
            when = f"{part.start:.1f} to {part.end:.1f} s" if timelines[name].per != "frame" else f"{part.start:.2f} s"
            panel.set_title(
                f"{place + 1}: {when}, {part.value:.4g}",
                fontsize=9,
                color=style[name].colour if len(timelines) > 1 else INK,
            )
    return figure


def _short(paths: Sequence[str]) -> dict[str, str]:
    """Return a label for each file: its name, if no two names are equal."""
    names = {path: Path(path).stem for path in paths}
    return names if len(set(names.values())) == len(paths) else {path: path for path in paths}


def _draw(axis: Axes, one: Timeline, look: Look) -> None:
    values = np.array([part.value for part in one.parts])
    edges = np.array([one.parts[0].start, *(part.end for part in one.parts)]) if one.parts else np.zeros(1)
    whole = len(one.parts) > 1 and all(
        left.end == right.start for left, right in zip(one.parts, one.parts[1:], strict=False)
    )
    if not whole:  # the moments are not consecutive
        axis.plot([part.start for part in one.parts], values, color=look.colour, marker=look.marker, markersize=4)
    elif one.per == "frame":
        axis.plot(edges[:-1], values, color=look.colour, linewidth=0.6, alpha=0.45)
        axis.plot(edges[:-1], _smooth(values, round(one.fps)), color=look.colour, linewidth=1.8)
    else:
        axis.stairs(values, edges, baseline=None, color=look.colour, linewidth=1.8)
    for cut in one.cuts:
        axis.axvline(cut, color="#6b6b6b", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    for number, part in enumerate(one.worst(SHOWN), start=1):
        place = (part.start + part.end) / 2
        axis.plot(place, part.value, marker=look.marker, color=look.colour, markersize=6)
        axis.annotate(
            str(number), (place, part.value), (0, -6), textcoords="offset points", fontsize=10, weight="bold",
            color=look.colour, ha="center", va="top",
        )  # fmt: skip


def _freezes(axis: Axes, one: Timeline, colour: str, row: int | None) -> None:
    """Draw the freezes: as bands, or for several files as bars in rows."""
    over = blended_transform_factory(axis.transData, axis.transAxes)
    for start, end in one.freezes:
        high = 0.98 - 0.05 * (row or 0)
        if row is None:
            axis.axvspan(start, end, color="#6b6b6b", alpha=0.18, linewidth=0, zorder=0)
        else:
            axis.plot([start, end], [high - 0.02] * 2, color=colour, linewidth=5, alpha=0.5, transform=over)
        axis.text((start + end) / 2, high, "still", transform=over, fontsize=8, ha="center", va="top", color="#333")


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over about a second around each value."""
    width = max(1, min(width, len(values)))
    kernel = np.ones(width)
    smooth: np.ndarray = np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
    return smooth


def _finish(axis: Axes, timelines: Sequence[Timeline]) -> None:
    axis.set_xlim(0, max(one.duration for one in timelines))
    axis.margins(y=0.18)
    axis.set_xlabel("time, s")
    name = timelines[0].name
    unit = "compression level, 100 is clean" if name == "compression_level" else f"{name}, higher is better"
    axis.set_ylabel(f"{unit}\nper {timelines[0].per}", fontsize=9)
    axis.grid(axis="y", alpha=0.3)
    axis.tick_params(labelsize=8)
