"""The challenge's group evaluation of prediction files or of a table of metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.manifest import read_labels
from cvqa_models.evaluation.ensemble import with_ensemble
from cvqa_models.evaluation.extra_measures import extra_measures
from cvqa_models.evaluation.score_table import ScoreRows, from_predictions, from_table
from cvqa_models.messages import say
from cvqa_models.metrics.bootstrap import Difference, difference, interval, resampled
from cvqa_models.metrics.direction import is_lower_better
from cvqa_models.metrics.group_score import (
    METRICS,
    GroupScore,
    GroupTable,
    Thresholds,
    fisher_z,
    group_scores,
    group_table,
    pooled,
)
from cvqa_models.metrics.notebook import LEFT_OUT, notebook_score, with_library_rounding
from cvqa_models.types import Constant

log = logging.getLogger(__name__)

MANY = 10_000  # videos in groups of several references; every pair of videos of a group is compared
ALL = (*METRICS, "result")
BASELINE = "bitrate_kbps"


@dataclass(frozen=True)
class Row:
    """One evaluated column.

    Attributes:
        score: Its coefficients, signed so that larger scores are better.
        turned: Whether the column was negated for that.
        ci: 95 % intervals by coefficient, signed like `score`.
        extra: Further measures by name.
    """

    score: GroupScore
    turned: bool
    ci: dict[str, tuple[float, float]]
    extra: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores against labels, inside every group.

    Attributes:
        rows: Results by name: the given columns, then the bitrate if it is known.
        paired: Differences to the first row, by name.
        given: Names of the given columns.
        left_out: One sentence for each column that cannot be evaluated: why.
    """

    rows: dict[str, Row]
    paired: dict[str, Difference]
    given: tuple[str, ...] = ()
    left_out: tuple[str, ...] = field(default_factory=tuple)

    @property
    def result(self) -> float:
        """Return the first row's mean of absolute SROCC, PLCC and KROCC; the challenge ranks by this."""
        return next(iter(self.rows.values())).score.official.result


def evaluate(
    scores: str | Path | None = None,
    predictions: str | Path | Sequence[str | Path] | None = None,
    *,
    table: str | Path | None = None,
    as_notebook: bool = False,
    thresholds: Thresholds = Thresholds(),  # noqa: B008 - frozen
    constant: Constant = "zero",
    bootstrap: int = 2000,
    seed: int = 0,
    ensemble: bool = False,
    weights: Path | None = None,
    fit: Path | None = None,
    out: Path | None = None,
    ladder: bool = False,
    pairs: Path | None = None,
    lower_is_better: Sequence[str] = (),
    dialect: Dialect = FOUND_OUT,
) -> Evaluation:
    r"""Return an evaluation inside every (reference, preset) group, pooled by Fisher's z as the challenge does.

    Args:
        scores: Label table: a manifest or a table with CVQAD's columns; if left out, the labels in `table` are used.
        predictions: One or more CSV files with `video_id,score`, larger is better; several are compared with the first.
        table: CSV with one column per metric, in place of `predictions`; each column is evaluated.
        as_notebook: The organisers' exact numbers: their 34 references, their rounding, their (too narrow) interval.
        thresholds: Fewest videos that a group needs to count.
        constant: Whether a group with constant scores counts as 0 or is skipped.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        seed: Seed of the resamples.
        ensemble: Add the average of all predictions, standardised in each group.
        weights: JSON file of file name -> weight in the ensemble.
        fit: Fit the weights of the ensemble on these labels and write them here.
        out: Write the ensemble's scores here, as `video_id,score`.
        ladder: Add the share of bitrate steps in the right order and the agreement of bitrates at equal quality.
        pairs: CSV with columns first, second, winner and optionally kind: adds the accuracy on these pairs.
        lower_is_better: Further columns of the table, or predictions by the name of their file, that must be negated.
        dialect: What the user said of how `scores` and `table` are written.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is malformed, the scores do not fit the labels, or no group is large enough.

    Examples:
        >>> from pathlib import Path
        >>> import cvqa_models
        >>> rows = [f"v{n},r/fast,r,{n}" for n in range(15)]
        >>> _ = Path("mos.csv").write_text("\n".join(["video_id,group,reference,mos", *rows]))
        >>> _ = Path("pred.csv").write_text("\n".join(["video_id,score", *(f"v{n},{2 * n}" for n in range(15))]))
        >>> round(cvqa_models.evaluate("mos.csv", "pred.csv", bootstrap=0).result, 3)
        1.0
    """
    rows = _read(scores, predictions, table, lower_is_better, dialect)
    if as_notebook:
        rows = rows.select([group.split("/")[0] not in LEFT_OUT for group in rows.group])
        if not len(rows.labels):
            raise ValueError(f"The organisers' pool leaves no video: they drop {', '.join(LEFT_OUT)}.")
    if ensemble or weights or fit or out:
        rows = with_ensemble(rows, weights, fit, out)
    given = tuple(rows.names)
    if BASELINE not in rows.names and not np.isnan(rows.bitrate).any():
        rows = rows.with_column(BASELINE, rows.bitrate)
    if as_notebook:
        result = _as_notebook(rows, thresholds)
    else:
        result = evaluate_rows(rows, thresholds, constant, bootstrap, seed)
    for name, extra in extra_measures(rows, ladder, pairs).items():
        result.rows[name].extra.update(extra)
    paired = {} if table is not None else result.paired
    return Evaluation(result.rows, paired, given, tuple(rows.left_out))


def _read(
    scores: str | Path | None,
    predictions: str | Path | Sequence[str | Path] | None,
    table: str | Path | None,
    lower_is_better: Sequence[str],
    dialect: Dialect,
) -> ScoreRows:
    if bool(predictions) == bool(table):
        raise ValueError("Give either `--predictions` or `--table`: what is to be evaluated.")
    path = scores or table
    if path is None:
        raise ValueError("`--scores` is missing; give the label table that the predictions belong to.")
    labels = read_labels(Path(path), dialect)
    if predictions:
        files = [predictions] if isinstance(predictions, str | Path) else predictions
        return from_predictions(labels, [Path(file) for file in files]).with_turned(lower_is_better)
    rows = from_table(labels, Path(table or path), dialect)
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
    references = labelled.labels.reference
    if bootstrap and len(set(references)) < 2:
        say("no intervals: there is only one reference.", stderr=True)
    if not bootstrap or len(set(references)) < 2:
        return Evaluation({n: Row(s, n in rows.turned, {}, {}) for n, s in zip(rows.names, records, strict=True)}, {})
    if len(labelled.labels) > MANY and len(set(references)) > len(set(labelled.group)):
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
    # A library rounds a falling order differently from a rising one, so columns are used here as they were given.
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
