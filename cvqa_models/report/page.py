"""One self-contained HTML page about a run: coefficients, tables and plots, with the images inside the file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cvqa_models.data.atomic import write_bytes, write_text
from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import evaluate
from cvqa_models.report.plots import png, prediction_against_score, training_curves
from cvqa_models.report.signs import sign_notes
from cvqa_models.report.tables import class_table, group_table

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd }
th { text-align: left; background: #f5f5f5 } td { font-variant-numeric: tabular-nums }
td + td, th + th { text-align: right !important } img { max-width: 100% }
.note { color: #555 } .warning { color: #b00020; font-weight: bold }
"""


def write_report(
    run: Path,
    frame: pd.DataFrame,
    log: pd.DataFrame | None,
    note: str = "",
    *,
    baselines: Mapping[str, Floats] | None = None,
    missing: Sequence[str] = (),
) -> Path:
    """Write `run`/report.html and its plots as PNG beside it; return the page's path.

    Args:
        run: Folder of the run; made if absent.
        frame: Joined table of `report.tables.join`.
        log: Lightning's metrics.csv, or None for a page without training curves.
        note: A sentence about the labels, shown at the top.
        baselines: Name -> scores of the same videos that no training made, shown beside the predictions.
        missing: Why a baseline is not there, in a sentence each.
    """
    run.mkdir(parents=True, exist_ok=True)
    columns = {"predictions": frame["score"].to_numpy(), **(baselines or {})}
    scored = {n: evaluate(frame["group"].tolist(), frame["mos"].to_numpy(), own) for n, own in columns.items()}
    score = scored["predictions"]
    summary = pd.DataFrame(
        [{"scores": n, **vars(own.official), "signed result": own.result} for n, own in scored.items()]
    )
    notes = "".join(f"<p class=warning>{escape(sentence)}</p>" for sentence in sign_notes("predictions", score))
    notes += "".join(f"<p class=note>{escape(sentence)}</p>" for sentence in missing)
    parts = [
        f"<h1>{escape(run.name)}</h1><p class=note>{escape(note)}</p>",
        f"<p>{len(frame)} videos, {frame['group'].nunique()} groups, {frame['reference'].nunique()} references.</p>",
        "<h2>Group score</h2>" + _table(summary) + notes,
        "<h2>Prediction against score, per group</h2>"
        + _image(prediction_against_score(frame), run / "predictions.png"),
    ]
    if log is not None:
        parts.append("<h2>Training</h2>" + _image(training_curves(log), run / "training.png"))
    classes = ("codec", "bitrate class", "preset")
    parts.extend(f"<h2>By {column}</h2>" + _table(class_table(frame, column)) for column in classes)
    parts.append("<h2>By group</h2>" + _table(group_table(score)))
    page = run / "report.html"
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(run.name)}</title><style>{STYLE}</style>"
    write_text(page, head + "\n".join(parts) + "</html>\n")
    return page


def _table(frame: pd.DataFrame) -> str:
    html: str = frame.to_html(
        index=False, border=0, float_format=lambda value: f"{value:.4f}", na_rep="-", justify="left"
    )
    return html


def _image(figure: Figure, path: Path) -> str:
    picture = png(figure)
    write_bytes(path, picture)
    return f'<img alt="{escape(path.stem)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
