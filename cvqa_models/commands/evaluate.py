"""`cvqa evaluate`: the challenge's group evaluation of prediction files or of a table of metrics."""

from __future__ import annotations

import json as jsonlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cvqa_models.commands.ensemble_rows import with_ensemble
from cvqa_models.commands.evaluation_output import ALL, BASELINE, Evaluation, Row, payload_of, show
from cvqa_models.commands.extra_measures import extra_measures
from cvqa_models.commands.score_rows import ScoreRows, from_predictions, from_table
from cvqa_models.csv_dialect import Dialect
from cvqa_models.data.atomic import write_text
from cvqa_models.data.manifest import read_table
from cvqa_models.metrics.bootstrap import difference, interval, resampled
from cvqa_models.metrics.direction import is_lower_better
from cvqa_models.metrics.group_score import (
    METRICS,
    Constant,
    GroupTable,
    Thresholds,
    fisher_z,
    group_scores,
    group_table,
    pooled,
)
from cvqa_models.metrics.notebook import LEFT_OUT, notebook_score, with_library_rounding
from cvqa_models.terminal import say

log = logging.getLogger(__name__)

MANY = 10_000  # videos in groups of several references, each pair of which is compared


def evaluate(
    scores: Path | None = None,
    *,
    predictions: list[Path] | None = None,
    table: Path | None = None,
    as_notebook: bool = False,
    min_srocc: int = 15,
    min_plcc: int = 6,
    min_krocc: int = 6,
    constant: Constant = "zero",
    bootstrap: int = 2000,
    seed: int = 0,
    ensemble: bool = False,
    weights: Path | None = None,
    fit: Path | None = None,
    out: Path | None = None,
    ladder: bool = False,
    pairs: Path | None = None,
    lower_is_better: list[str] | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    json: Path | None = None,
) -> dict[str, Any]:
    """Evaluate scores inside every (reference, preset) group, pooled by Fisher's z as the challenge does.

    The challenge takes absolute values, which do not tell a model from its reverse: so the signed result stands beside
    them, every group whose order is against the subjective scores is named, and intervals and differences are signed.

    Args:
        scores: Label table, a manifest or CVQAD's own columns; left out, the labels are those in `table`.
        predictions: CSV files with `video_id,score`, larger is better; several are compared with the first over the
            same resamples.
        table: CSV with one column per metric, each of which is evaluated. Known measures of which lower is better, such
            as LPIPS or NIQE, are turned round by their name; see `lower_is_better`.
        as_notebook: The organisers' exact numbers: their 34 references, their rounding, their (too narrow) interval.
        min_srocc: Fewest videos with which a group counts for SROCC.
        min_plcc: Fewest videos with which a group counts for PLCC.
        min_krocc: Fewest videos with which a group counts for KROCC.
        constant: Whether a group with constant scores counts as 0 or is skipped; it is named either way.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        seed: Seed of the resamples.
        ensemble: Add the average of all predictions, standardised in each group.
        weights: JSON file of file name -> weight in the ensemble.
        fit: Fit the weights of the ensemble on these labels, which should be a validation set, and write them here.
        out: Write the ensemble's scores here, as `video_id,score`.
        ladder: Add the share of bitrate steps in the right order and the agreement of bitrates at equal quality.
        pairs: CSV with columns first, second, winner (1 or 2) and, if any, kind: adds the accuracy on these pairs.
        lower_is_better: Further columns of the table, or predictions by the name of their file, that are turned round.
        delimiter: What separates the cells of `scores` and `table`, if found out wrongly: `,`, `;`, `|` or tab.
        decimal: Their decimal mark, if found out wrongly: `.` or `,`.
        json: Write everything here.

    Returns:
        What `json` holds.
    """
    thresholds = Thresholds(min_srocc, min_plcc, min_krocc)
    rows = _read(scores, predictions, table, lower_is_better or [], Dialect(delimiter, decimal))
    if as_notebook:
        rows = rows.select([record.group.split("/")[0] not in LEFT_OUT for record in rows.records])
        if not rows.records:
            raise ValueError(f"The organisers' pool leaves no video: they drop {', '.join(LEFT_OUT)}.")
    if ensemble or weights or fit or out:
        rows = with_ensemble(rows, weights, fit, out)
    chosen = rows.names
    if BASELINE not in rows.names and not np.isnan(rows.bitrate).any():
        rows = rows.with_column(BASELINE, rows.bitrate)
    result = (
        _as_notebook(rows, thresholds) if as_notebook else evaluate_rows(rows, thresholds, constant, bootstrap, seed)
    )
    if table is not None:
        result = Evaluation(result.rows, {})
    for name, extra in extra_measures(rows, ladder, pairs).items():
        result.rows[name].extra.update(extra)
    payload = payload_of(result, flat=table is None and len(chosen) == 1)
    if rows.left_out:
        payload["left_out"] = list(rows.left_out)
    if json is not None:
        write_text(json, jsonlib.dumps(payload, indent=1) + "\n")
    show(result, ranked=table is not None)
    for fault in rows.left_out:
        log.warning("left out: %s.", fault)
    return payload


def _read(
    scores: Path | None,
    predictions: list[Path] | None,
    table: Path | None,
    lower_is_better: list[str],
    dialect: Dialect,
) -> ScoreRows:
    if bool(predictions) == bool(table):
        raise ValueError("Give either `--predictions` or `--table`: what is to be evaluated.")
    labels = scores or table
    if labels is None:
        raise ValueError("`--scores` is missing; give the label table that the predictions belong to.")
    records = read_table(labels, dialect)
    if predictions:
        return from_predictions(records, predictions).with_turned(lower_is_better)
    rows = from_table(records, table or labels, dialect)
    known = [name for name in rows.names if is_lower_better(name)]
    return rows.with_turned([*known, *lower_is_better])


def evaluate_rows(
    rows: ScoreRows, thresholds: Thresholds, constant: Constant = "zero", bootstrap: int = 2000, seed: int = 0
) -> Evaluation:
    """Return the evaluation by our rules, with intervals over references, and differences to the first column.

    Raises:
        ValueError: If no group is large enough for one of the coefficients.
    """
    groups = group_table(rows.group, rows.mos, rows.scores)
    z, weight = fisher_z(groups, thresholds, constant)
    values = pooled(z, weight)
    _check_sizes(groups, thresholds)
    records = group_scores(groups, values, weight)
    labelled = rows.select((~np.isnan(rows.mos)).tolist())
    references = [record.reference for record in labelled.records]
    if bootstrap and len(set(references)) < 2:
        say("no intervals: there is only one reference.", stderr=True)
    if not bootstrap or len(set(references)) < 2:
        return Evaluation({n: Row(s, n in rows.turned, {}, {}) for n, s in zip(rows.names, records, strict=True)}, {})
    if len(labelled.records) > MANY and len(set(references)) > len(set(labelled.group)):
        log.info(
            "intervals: %d references are resampled, which takes minutes; `--bootstrap 0` leaves them out.",
            len(set(references)),
        )
    drawn = resampled(
        groups,
        labelled.group,
        references,
        labelled.mos,
        labelled.scores,
        thresholds=thresholds,
        constant=constant,
        resamples=bootstrap,
        seed=seed,
    )
    evaluated = {}
    for column, name in enumerate(rows.names):
        ci = {metric: interval(drawn[index, :, column]) for index, metric in enumerate(ALL)}
        evaluated[name] = Row(records[column], name in rows.turned, ci, {})
    paired = {
        name: difference(records[k].result, records[0].result, drawn[-1, :, k], drawn[-1, :, 0])
        for k, name in enumerate(rows.names)
        if k > 0
    }
    return Evaluation(evaluated, paired)


def _as_notebook(rows: ScoreRows, thresholds: Thresholds) -> Evaluation:
    """Return the organisers' numbers."""
    labelled = rows.select((~np.isnan(rows.mos)).tolist())
    # A library rounds a falling order in another way than a rising one, so the arithmetic sees columns as they were.
    scores = labelled.scores * rows.direction
    groups = group_table(labelled.group, labelled.mos, scores)
    _check_sizes(groups, thresholds)
    groups = with_library_rounding(groups, labelled.group, labelled.mos, scores)
    values, weight, ends = notebook_score(groups, thresholds)
    groups = replace(groups, values=groups.values * rows.direction)
    records = group_scores(groups, values * rows.direction, weight)
    evaluated = {}
    for column, (name, score) in enumerate(zip(rows.names, records, strict=True)):
        ci = {m: (float(ends[0, i, column]), float(ends[1, i, column])) for i, m in enumerate(METRICS)}
        evaluated[name] = Row(score, name in rows.turned, ci, {})
    return Evaluation(evaluated, {})


def _check_sizes(groups: GroupTable, thresholds: Thresholds) -> None:
    """Raise a ValueError if no group is large enough for one of the coefficients."""
    largest = int(groups.sizes[groups.rankable].max(initial=0))
    if not largest:
        raise ValueError("No group has 3 videos whose subjective scores differ, so that nothing can be ranked.")
    for name in METRICS:
        least = getattr(thresholds, name)
        if largest < least:
            raise ValueError(
                f"No group has the {least} videos that {name.upper()} needs; the largest has {largest}. "
                f"Use `--min-{name}` to lower the threshold."
            )
