"""The report of a run: its predictions against labels, its training curves, and baselines that need no training."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from cvqa_models import plain_yaml
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.manifest import read_table
from cvqa_models.data.predictions import read_predictions
from cvqa_models.messages import OF_A_FILE, sentence
from cvqa_models.metrics.group_score import Thresholds, evaluate
from cvqa_models.report.cases import Eyes, cases
from cvqa_models.report.page import write_report
from cvqa_models.report.signs import sign_notes
from cvqa_models.report.tables import join, share_table
from cvqa_models.training.configured import build_source
from cvqa_models.training.run_folder import training_log
from cvqa_models.types import Baselines, DecoderName, Hdr, Untagged, VideoRecord
from cvqa_models.video.reader import ReadOptions

log = logging.getLogger(__name__)

ABLATION = "ablation.json"
Look = Callable[[ReadOptions], Eyes]
Rivals = Callable[[Sequence[VideoRecord], FeatureStore | None, ReadOptions], Baselines]


def report_run(
    run: Path,
    scores: Path,
    *,
    predictions: Path | None = None,
    note: str = "",
    thresholds: Thresholds = Thresholds(),  # noqa: B008 - frozen
    rivals: Rivals | None = None,
    look: Look | None = None,
) -> tuple[Path, list[str]]:
    """Write RUN/report.html with plots and tables, and the plots as PNG beside it.

    If there is a file RUN/ablation.json, the report shows how much each branch improves the model. `cvqa crossval
    --json` writes this file for the variants of `evaluation.ablation`.

    Args:
        run: Folder of a run; its training log is used if it is there.
        scores: Label table, a manifest or CVQAD's own columns. Files that it does not name are found by the data set in
            the configuration that the run stored.
        predictions: CSV with `video_id,score`; RUN/predictions.csv if left out.
        note: A sentence shown at the top of the page.
        thresholds: Fewest videos that a group needs to count.
        rivals: Function that returns scores without training, from the run's store or the videos.
        look: Takes how videos are read; returns a function that makes pictures of the worst and most misjudged videos.
            None shows no pictures.

    Returns:
        The page, and a sentence for each fact that the official figures hide, such as a reversed order.

    Raises:
        FileNotFoundError: If a table is not there.
        ValueError: If a table is malformed, or predictions and labels do not belong together.
    """
    records, predicted = read_table(scores), read_predictions(predictions or run / "predictions.csv")
    frame = join(records, predicted)
    data = _data_of(run)
    store, options = _reading(data)
    known = _with_files([record for record in records if record.video_id in predicted], data)
    beside = Baselines() if rivals is None else rivals(known, store, options)
    page = write_report(
        run,
        frame,
        training_log(run),
        note,
        baselines=beside.scores,
        missing=beside.missing,
        thresholds=thresholds,
        shares=_shares(run / ABLATION),
        cases="" if look is None else cases(frame, known, options, look(options)),
    )
    score = evaluate(frame["group"].tolist(), frame["mos"], frame["score"], thresholds=thresholds)
    return page, sign_notes("predictions", score)


def _shares(file: Path) -> pd.DataFrame | None:
    if not file.is_file():
        return None
    try:
        return share_table(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(
            f"'{file}' holds no cross-validation ({error}); remove it, or write it with `cvqa crossval --json`."
        ) from error


def _data_of(run: Path) -> dict[str, Any]:
    """Return the part `data` of the configuration that the run stored; empty if it cannot be read."""
    kept = max(run.glob("logs*/config.yaml"), key=lambda path: path.stat().st_mtime, default=None)
    try:
        content = plain_yaml.load(kept) if kept is not None else None
    except ValueError:
        content = None
    data = content.get("data") if isinstance(content, dict) else None
    return data if isinstance(data, dict) else {}


def _reading(data: Mapping[str, Any]) -> tuple[FeatureStore | None, ReadOptions]:
    """Return the store of a run, if it had one, and how its videos were read, if its configuration says so."""
    known = {"decoder": get_args(DecoderName), "untagged": get_args(Untagged), "hdr": get_args(Hdr)}
    chosen: dict[str, Any] = {key: data[key] for key, values in known.items() if data.get(key) in values}
    chosen |= {key: data[key] for key in ("stream", "display") if type(data.get(key)) is int}
    try:
        options = ReadOptions(**chosen)
    except ValueError:  # its decoder is not installed here
        options = ReadOptions()
    store = data.get("store")
    return FeatureStore(store, options.key) if isinstance(store, str) else None, options


def _with_files(records: list[VideoRecord], data: Mapping[str, Any]) -> list[VideoRecord]:
    """Return videos with their files from the data set of the run, where the label table names none that is here.

    A video of that data set is taken as the same only if its group and its score, if it has one, are the same, too.
    """
    if "source" not in data or all(_is_here(one.path) for one in records):
        return records
    try:
        own = {(one.video_id, one.group): one for one in build_source(data["source"]).records()}
    except OF_A_FILE as error:
        log.warning("where the videos of this run lie is not known: %s", sentence(error))
        return records
    return [one if _is_here(one.path) else _with_file(one, own.get((one.video_id, one.group))) for one in records]


def _with_file(video: VideoRecord, same: VideoRecord | None) -> VideoRecord:
    if same is None or not _is_here(same.path) or not (isnan(same.mos) or same.mos == video.mos):
        return video
    return replace(video, path=same.path)


def _is_here(path: str | None) -> bool:
    return path is not None and Path(path).is_file()
