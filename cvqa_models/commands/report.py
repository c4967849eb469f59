"""`cvqa report`: a self-contained page about a run."""

from __future__ import annotations

import json as json_format
from pathlib import Path

import pandas as pd
from rich.console import Console

from cvqa_models.data.atomic import write_text
from cvqa_models.data.manifest import read_table
from cvqa_models.data.submission import read_predictions
from cvqa_models.report.page import write_report
from cvqa_models.report.tables import join


def report(
    run: Path, *, scores: Path, predictions: Path | None = None, note: str = "", json: Path | None = None
) -> Path:
    """Write RUN/report.html with plots and tables, and the plots as PNG beside it.

    Args:
        run: Folder of a run; its training log is used if it is there.
        scores: Label table, a manifest or CVQAD's own columns.
        predictions: CSV with `video_id,score`; RUN/predictions.csv if left out.
        note: A sentence shown at the top of the page.
        json: File for the result: the page and its pictures.

    Returns:
        Path of the page.
    """
    frame = join(read_table(scores), read_predictions(predictions or run / "predictions.csv"))
    logs = [pd.read_csv(path) for path in sorted(run.glob("logs*/metrics.csv"))]
    page = write_report(run, frame, pd.concat(logs) if logs else None, note)
    if json is not None:
        pictures = [str(path) for path in sorted(run.glob("*.png"))]
        write_text(json, json_format.dumps({"report": str(page), "pictures": pictures}, indent=1) + "\n")
    Console().print(f"report: {page}", soft_wrap=True)
    return page
