"""A self-contained HTML page about a run: coefficients, tables and plots, with the images inside the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cvqa_models.files import write_bytes, write_text
from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import Thresholds, evaluate
from cvqa_models.report.html import page, plot, table
from cvqa_models.report.plots import png, prediction_against_score, training_curves
from cvqa_models.report.residuals import calibration_figure, residual_figure
from cvqa_models.report.signs import sign_notes
from cvqa_models.report.tables import class_table, group_table

RESIDUALS = (
    "What is predicted less what was scored, after each group's own line. A bar is a codec's mean; above 0 the "
    "model is too kind to it."
)
CALIBRATION = (
    "All groups together: black dots are means of equal shares of the videos with 95 % bars. Where groups lie beside "
    "the line, scores compare inside a group only. Dashed: predicted as scored."
)
OFFICIAL = Thresholds()
SHARES = (
    "All videos of the data set, each scored by models that never saw its source. A branch has a share where the model "
    "without it is worse, beyond the interval over references."
)


def write_report(
    run: Path,
    frame: pd.DataFrame,
    log: pd.DataFrame | None,
    note: str = "",
    *,
    baselines: Mapping[str, Floats] | None = None,
    missing: Sequence[str] = (),
    thresholds: Thresholds = OFFICIAL,
    shares: pd.DataFrame | None = None,
    cases: str = "",
) -> Path:
    """Write `run`/report.html and its plots as PNG beside it; return the page's path.

    Args:
        run: Folder of the run; made if absent.
        frame: Joined table of `report.tables.join`.
        log: Lightning's metrics.csv, or None for a page without training curves.
        note: A sentence about the labels, shown at the top.
        baselines: Name -> scores of the same videos that come from no training; they are shown with the predictions.
        missing: One sentence for each missing baseline: why.
        thresholds: Fewest videos that a group needs to count.
        shares: Table of `report.tables.share_table`: how much each branch improves the model.
        cases: Videos with pictures, as a part of the page.
    """
    run.mkdir(parents=True, exist_ok=True)
    columns = {"predictions": frame["score"].to_numpy(), **(baselines or {})}
    scored = {
        name: evaluate(frame["group"].tolist(), frame["mos"].to_numpy(), own, thresholds=thresholds)
        for name, own in columns.items()
    }
    score = scored["predictions"]
    summary = pd.DataFrame(
        [{"scores": n, **vars(own.official), "signed result": own.result} for n, own in scored.items()]
    )
    notes = "".join(f"<p class=warning>{escape(sentence)}</p>" for sentence in sign_notes("predictions", score))
    notes += "".join(f"<p class=note>{escape(sentence)}</p>" for sentence in missing)
    parts = [
        f"<h1>{escape(run.name)}</h1><p class=note>{escape(note)}</p>",
        f"<p>{len(frame)} videos, {frame['group'].nunique()} groups, {frame['reference'].nunique()} references.</p>",
        "<h2>Group score</h2>" + table(summary) + notes,
        "<h2>Prediction against score, per group</h2>"
        + _image(prediction_against_score(frame), run / "predictions.png"),
    ]
    for title, note, figure in _judged(frame):
        if figure is not None:
            name = f"{title.lower()}.png"
            parts.append(f"<h2>{title}</h2><p class=note>{note}</p>" + _image(figure, run / name))
    if log is not None:
        parts.append("<h2>Training</h2>" + _image(training_curves(log), run / "training.png"))
    if shares is not None:
        parts.append(f"<h2>Share of each branch</h2><p class=note>{escape(SHARES)}</p>" + table(shares))
    classes = ("codec", "bitrate class", "preset")
    tables = {column: class_table(frame, column) for column in classes}
    parts.extend(f"<h2>By {column}</h2>" + table(rows) for column, rows in tables.items() if len(rows))
    parts.append("<h2>By group</h2>" + table(group_table(score)))
    parts.append(cases)
    file = run / "report.html"
    write_text(file, page(run.name, parts))
    return file


def _judged(frame: pd.DataFrame) -> list[tuple[str, str, Figure | None]]:
    """Return title, note and figure of each plot of the distance between predictions and labels."""
    return [
        ("Residuals", RESIDUALS, residual_figure(frame)),
        ("Calibration", CALIBRATION, calibration_figure(frame)),
    ]


def _image(figure: Figure, path: Path) -> str:
    content = png(figure)
    write_bytes(path, content)
    return plot(content, path.stem)
