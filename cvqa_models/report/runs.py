"""Compare runs on one page: results with paired intervals, by group, training curves, and different settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cvqa_models import plain_yaml
from cvqa_models.evaluation.evaluate import ALL, Evaluation, evaluate
from cvqa_models.files import write_bytes, write_text
from cvqa_models.metrics.group_score import METRICS, Thresholds
from cvqa_models.report.colours import Look, looks
from cvqa_models.report.html import page, plot, table
from cvqa_models.report.plots import label_of, named_legend, png
from cvqa_models.training.run_folder import training_log

PAGE = "runs.html"
DIFFERENCES = (
    "<p class=note>Differences to the first run, over the same resamples of references: 95 % intervals. Where one "
    "holds 0, the runs cannot be told apart by these videos.</p>"
)


def report_runs(runs: Sequence[Path], scores: Path, *, note: str = "", thresholds: Thresholds) -> Path:
    """Write a page that compares runs on the same videos, `runs.html` in the folder of the first, and return it.

    Args:
        runs: Folders of two runs or more, each with its `predictions.csv`.
        scores: Label table, a manifest or CVQAD's own columns.
        note: A sentence shown at the top of the page.
        thresholds: Fewest videos that a group needs to count.

    Raises:
        FileNotFoundError: If a table is not there.
        ValueError: If a run is given twice, a table is malformed, or the runs predicted other videos.
    """
    names = _names(runs)
    files = {str(run / "predictions.csv"): names[run] for run in runs}
    found = evaluate(scores, list(files), thresholds=thresholds)
    style = looks(names.values())
    parts = [
        f"<h1>Runs against {escape(names[runs[0]])}</h1><p class=note>{escape(note)}</p>",
        "<h2>Group score</h2>" + table(_summary(found, files)) + DIFFERENCES,
        _image("Each group", group_figure(found, files, style), runs[0] / "runs-groups.png"),
    ]
    curves = learning_figure({names[run]: training_log(run) for run in runs}, style)
    if curves is not None:
        parts.append(_image("Learning", curves, runs[0] / "runs-learning.png"))
    changed = settings_that_differ({names[run]: _settings(run) for run in runs})
    if len(changed):
        parts.append("<h2>What was set differently</h2>" + table(changed))
    target = runs[0] / PAGE
    write_text(target, page("Runs", parts))
    return target


def _names(runs: Sequence[Path]) -> dict[Path, str]:
    if len({run.resolve() for run in runs}) < len(runs):
        raise ValueError(f"A run is given twice among {', '.join(map(str, runs))}; name each once.")
    short = {run: run.resolve().name for run in runs}
    return short if len(set(short.values())) == len(runs) else {run: str(run) for run in runs}


def _image(title: str, figure: Figure, path: Path) -> str:
    content = png(figure)
    write_bytes(path, content)
    return f"<h2>{title}</h2>" + plot(content, title)


def _summary(found: Evaluation, files: Mapping[str, str]) -> pd.DataFrame:
    rows = []
    for name, row in found.rows.items():
        gap = found.paired.get(name)
        told = "" if gap is None else f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        figures = {metric: getattr(row.score.official, metric) for metric in ALL}
        shown = files.get(name, f"baseline: {name}")
        rows.append({"run": shown, **figures, "signed result": row.score.result, "difference": told})
    return pd.DataFrame(rows)


def group_figure(found: Evaluation, files: Mapping[str, str], style: Mapping[str, Look]) -> Figure:
    """Return the mean of the three coefficients of each group, a marker for each run; most different groups first.

    Args:
        found: Evaluation of the runs.
        files: Name of a row -> name of its run.
        style: Name of a run -> its look.
    """
    values = {
        name: {one.group: _mean([getattr(one, metric) for metric in METRICS]) for one in found.rows[row].score.groups}
        for row, name in files.items()
    }
    groups = list(next(iter(values.values())))
    spread = {group: np.ptp([own[group] for own in values.values()]) for group in groups}
    groups.sort(key=lambda group: (-spread[group] if spread[group] == spread[group] else math.inf, group))
    figure = Figure(figsize=(8.5, 1.4 + 0.3 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for place, group in enumerate(groups):
        own = [one[group] for one in values.values()]
        axis.plot([np.nanmin(own), np.nanmax(own)], [place] * 2, color="#b5bcc3", linewidth=2, zorder=1)
    for name, one in values.items():
        points = [one[group] for group in groups]
        axis.plot(points, range(len(groups)), style[name].marker, color=style[name].colour, markersize=6)
    axis.set_yticks(range(len(groups)), [label_of(group) for group in groups], parse_math=False)
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.set_xlabel("mean of SROCC, PLCC and KROCC in the group, 1 is perfect", fontsize=9)
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(labelsize=8)
    named_legend(figure, style)
    return figure


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def learning_figure(logs: Mapping[str, pd.DataFrame | None], style: Mapping[str, Look]) -> Figure | None:
    """Return the result of validation over epochs, for each run that logged it; None if no run did."""
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    axis = figure.subplots()
    for name, log in logs.items():
        if log is None or "val/result" not in log:
            continue
        rows = log[["epoch", "step", "val/result"]].dropna().drop_duplicates("step", keep="last")
        points = rows.groupby("epoch")["val/result"].mean()
        look = style[name]
        marker = look.marker if len(points) < 60 else ""
        axis.plot(points.index, points.to_numpy(), marker=marker, markersize=4, color=look.colour)
    if not axis.lines:
        return None
    axis.set_xlabel("epoch")
    axis.set_ylabel("result in validation,\n1 is perfect", fontsize=9)
    axis.grid(alpha=0.3)
    named_legend(figure, {name: style[name] for name in logs})
    return figure


def _settings(run: Path) -> dict[str, Any]:
    """Return the settings that a run stored, flat; empty if they cannot be read."""
    kept = max(run.glob("logs*/config.yaml"), key=lambda path: path.stat().st_mtime, default=None)
    try:
        content = plain_yaml.load(kept) if kept is not None else None
    except ValueError:
        content = None
    return _flat(content, "") if isinstance(content, dict) else {}


def _flat(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {key: one for part, own in value.items() for key, one in _flat(own, f"{name}.{part}".lstrip(".")).items()}


def settings_that_differ(settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row for each setting that differs between runs, with a column for each run."""
    keys = list(dict.fromkeys(key for own in settings.values() for key in own))
    shown = {name: {key: "-" if key not in own else str(own[key]) for key in keys} for name, own in settings.items()}
    rows = [{"setting": key, **{name: own[key] for name, own in shown.items()}} for key in keys]
    return pd.DataFrame([row for row in rows if len({row[name] for name in shown}) > 1])
