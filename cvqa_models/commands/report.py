"""`cvqa report`: a self-contained page about a run."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from cvqa_models import plain_yaml
from cvqa_models.commands.baselines import baselines
from cvqa_models.data.atomic import write_text
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.manifest import read_table
from cvqa_models.data.submission import read_predictions
from cvqa_models.metrics.group_score import evaluate
from cvqa_models.report.page import write_report
from cvqa_models.report.signs import sign_notes
from cvqa_models.report.tables import join
from cvqa_models.terminal import say
from cvqa_models.video.reader import Decoder, Hdr, ReadOptions, Untagged


def report(
    run: Path, *, scores: Path, predictions: Path | None = None, note: str = "", json: Path | None = None
) -> Path:
    """Write RUN/report.html with plots and tables, and the plots as PNG beside it.

    Beside the predictions stand what no training made: the bitrate, and the compression level that ships with the
    project, where the table names the videos or the run's store has its features.

    Args:
        run: Folder of a run; its training log is used if it is there.
        scores: Label table, a manifest or CVQAD's own columns.
        predictions: CSV with `video_id,score`; RUN/predictions.csv if left out.
        note: A sentence shown at the top of the page.
        json: File for the result: the page and its pictures.

    Returns:
        Path of the page.
    """
    records, predicted = read_table(scores), read_predictions(predictions or run / "predictions.csv")
    frame = join(records, predicted)
    store, options = _reading(run)
    beside = baselines([record for record in records if record.video_id in predicted], store, options)
    logs = [pd.read_csv(path) for path in sorted(run.glob("logs*/metrics.csv"))]
    page = write_report(
        run, frame, pd.concat(logs) if logs else None, note, baselines=beside.scores, missing=beside.missing
    )
    if json is not None:
        pictures = [str(path) for path in sorted(run.glob("*.png"))]
        write_text(json, json_format.dumps({"report": str(page), "pictures": pictures}, indent=1) + "\n")
    for sentence in sign_notes("predictions", evaluate(frame["group"].tolist(), frame["mos"], frame["score"])):
        say(sentence, style="bold red")
    say(f"report: {page}")
    return page


def _reading(run: Path) -> tuple[FeatureStore | None, ReadOptions]:
    """Return the store of the run, if it had one, and how its videos were read, as far as its configuration says so."""
    kept = max(run.glob("logs*/config.yaml"), key=lambda path: path.stat().st_mtime, default=None)
    try:
        content = plain_yaml.load(kept) if kept is not None else None
    except ValueError:
        content = None
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        return None, ReadOptions()
    known = {"decoder": get_args(Decoder), "untagged": get_args(Untagged), "hdr": get_args(Hdr)}
    chosen: dict[str, Any] = {key: data[key] for key, values in known.items() if data.get(key) in values}
    if type(data.get("stream")) is int:
        chosen["stream"] = data["stream"]
    try:
        options = ReadOptions(**chosen)
    except ValueError:  # a decoder that is not installed here
        options = ReadOptions()
    store = data.get("store")
    return FeatureStore(store, options.key) if isinstance(store, str) else None, options
