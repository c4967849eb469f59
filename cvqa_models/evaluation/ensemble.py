"""The ensemble of `cvqa evaluate`: its weights, its scores as a further column, and warnings about reversed members."""

from __future__ import annotations

import json as jsonlib
import logging
import math
from itertools import combinations
from pathlib import Path

from cvqa_models.data.predictions import write_predictions
from cvqa_models.evaluation.score_table import ScoreRows
from cvqa_models.files import write_text
from cvqa_models.metrics.ensemble import agreement, combine, fit_weights
from cvqa_models.types import Prediction

log = logging.getLogger(__name__)

ENSEMBLE = "ensemble"


def with_ensemble(rows: ScoreRows, weights: Path | None, fit: Path | None, out: Path | None) -> ScoreRows:
    """Return the rows with the column `ensemble`: the weighted average, standardised in each group.

    The log names members that order videos in opposite ways, because they cancel each other.

    Args:
        rows: Two columns or more.
        weights: JSON file of column -> weight, or None.
        fit: Fit the weights to the labels and write them here, or None.
        out: Write the ensemble's scores here, or None.

    Raises:
        ValueError: If there are fewer than two columns, or the weights do not fit them.
        FileNotFoundError: If there is no file of weights.
    """
    if len(rows.names) < 2:
        raise ValueError(f"An ensemble needs at least 2 predictions; there is only {rows.names}.")
    if weights is not None and fit is not None:
        raise ValueError("`--weights` and `--fit` exclude each other: read weights, or fit and write them.")
    share: list[float] | None = None
    if weights is not None:
        share = _read_weights(weights, rows.names)
    if fit is not None:
        share = fit_weights(rows.group, rows.mos, rows.scores).tolist()
        write_text(fit, jsonlib.dumps(dict(zip(rows.names, share, strict=True)), indent=1) + "\n")
        idle = [name for name, own in zip(rows.names, share, strict=True) if own == 0]
        if idle:
            log.warning("ensemble: %s got weight 0: nothing to add, or a reversed order.", ", ".join(idle))
    _warn_of_opposites(rows, share)
    average = combine(rows.group, rows.scores, share)
    if out is not None:
        triples = zip(rows.labels.video_id, rows.group, average.tolist(), strict=True)
        write_predictions(out, [Prediction(*triple) for triple in triples])
    return rows.with_column(ENSEMBLE, average)


def _warn_of_opposites(rows: ScoreRows, share: list[float] | None) -> None:
    correlation = agreement(rows.group, rows.scores)
    members = [column for column in range(len(rows.names)) if share is None or share[column]]
    for one, other in combinations(members, 2):
        if correlation[one, other] < 0:
            log.warning(
                "ensemble: %s and %s order videos in opposite ways (correlation %.2f inside groups), so that they "
                "cancel; name the one for which lower is better in `--lower-is-better`, or leave one out.",
                rows.names[one],
                rows.names[other],
                correlation[one, other],
            )


def _read_weights(path: Path, names: list[str]) -> list[float]:
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no weights file '{path}'; write one with `--fit {path}` on validation scores."
        )
    try:
        content = jsonlib.loads(path.read_text(encoding="utf-8"))
        share = {str(name): _weight(weight) for name, weight in content.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"'{path}' is no JSON object of file name -> weight ({error}).") from error
    if set(share) != set(names):
        raise ValueError(
            f"'{path}' has weights for {sorted(share)}; expected exactly {sorted(names)}, the names of "
            "the prediction files."
        )
    return [share[name] for name in names]


def _weight(value: object) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)
