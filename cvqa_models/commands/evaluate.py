"""`cvqa evaluate`: the challenge's group evaluation of prediction files or of a table of metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cvqa_models.files import check_there, write_json
from cvqa_models.types import Constant

log = logging.getLogger(__name__)


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

    The challenge takes absolute values, so a model and its reverse get the same figure. So the signed result is shown
    too, every group that is ordered against the subjective scores is named, and intervals and differences are signed.

    Args:
        scores: Label table: a manifest or a table with CVQAD's columns; if left out, the labels in `table` are used.
        predictions: CSV files with `video_id,score`, larger is better; several are compared with the first over the
            same resamples.
        table: CSV with one column per metric; each is evaluated. Known measures for which lower is better, such as
            LPIPS or NIQE, are negated; they are known by their name; see `lower_is_better`.
        as_notebook: The organisers' exact numbers: their 34 references, their rounding, their (too narrow) interval.
        min_srocc: Fewest videos that a group needs to count for SROCC.
        min_plcc: Fewest videos that a group needs to count for PLCC.
        min_krocc: Fewest videos that a group needs to count for KROCC.
        constant: Whether a group with constant scores counts as 0 or is skipped; it is named in both cases.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        seed: Seed of the resamples.
        ensemble: Add the average of all predictions, standardised in each group.
        weights: JSON file of file name -> weight in the ensemble.
        fit: Fit the weights of the ensemble on these labels, which should be a validation set, and write them here.
        out: Write the ensemble's scores here, as `video_id,score`.
        ladder: Add the share of bitrate steps in the right order and the agreement of bitrates at equal quality.
        pairs: CSV with columns first, second, winner (1 or 2) and optionally kind: adds the accuracy on these pairs.
        lower_is_better: Further columns of the table, or predictions by the name of their file, that must be negated.
        delimiter: What separates the cells of `scores` and `table`, if detected wrongly: `,`, `;`, `|` or tab.
        decimal: Their decimal mark, if detected wrongly: `.` or `,`.
        json: Write everything here.

    Returns:
        What `json` holds.

    Examples:
        cvqa evaluate --scores labels.csv --predictions runs/mine/predictions.csv
        cvqa evaluate --scores labels.csv --predictions a.csv b.csv --ensemble --out both.csv
        cvqa evaluate --table metrics.csv
    """
    check_there("table", scores, table, pairs, *(predictions or []))
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.commands.evaluation_output import show
    from cvqa_models.csv_dialect import Dialect
    from cvqa_models.evaluation import evaluate as library
    from cvqa_models.evaluation.payload import payload_of
    from cvqa_models.metrics.group_score import Thresholds

    result = library.evaluate(
        scores,
        predictions,
        table=table,
        as_notebook=as_notebook,
        thresholds=Thresholds(min_srocc, min_plcc, min_krocc),
        constant=constant,
        bootstrap=bootstrap,
        seed=seed,
        ensemble=ensemble,
        weights=weights,
        fit=fit,
        out=out,
        ladder=ladder,
        pairs=pairs,
        lower_is_better=lower_is_better or [],
        dialect=Dialect(delimiter, decimal),
    )
    payload = payload_of(result, flat=table is None and len(result.given) == 1)
    if json is not None:
        write_json(json, payload)
    show(result, ranked=table is not None)
    for fault in result.left_out:
        log.warning("left out: %s.", fault)
    return payload
