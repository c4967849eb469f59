"""Measures that `cvqa evaluate` adds on demand: bitrate ladders and listed pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cvqa_models.evaluation.score_table import ScoreRows
from cvqa_models.metrics.correlation import Floats, coefficients
from cvqa_models.metrics.ladder import ladder_order, rate_errors
from cvqa_models.metrics.pairs import pair_accuracy
from cvqa_models.tables import numbers, read_csv


def extra_measures(rows: ScoreRows, ladder: bool, pairs: Path | None) -> dict[str, dict[str, float]]:
    """Return column -> measure -> value.

    Args:
        rows: Evaluated columns, larger is better.
        ladder: Whether to measure bitrate ladders.
        pairs: CSV with columns first, second, winner and optionally kind.

    Raises:
        FileNotFoundError: If there is no such pair file.
        ValueError: If the labels have no bitrate, or the pair file is malformed or names a video without a score.
    """
    extras: dict[str, dict[str, float]] = {name: {} for name in rows.names}
    listed = _read_pairs(pairs) if pairs is not None else {}
    if ladder and np.isnan(rows.bitrate).all():
        raise ValueError("`--ladder` needs bitrates; the label table has none.")
    for column, name in enumerate(rows.names):
        score = rows.scores[:, column]
        if ladder:
            extras[name].update(_ladder_measures(rows, score))
        if listed:
            extras[name].update(_pair_measures(rows, score, listed))
    return extras


def _ladder_measures(rows: ScoreRows, score: Floats) -> dict[str, float]:
    """Return ladder measures, over all videos and for each codec and preset."""
    kinds = np.array([f"{codec}/{preset}" for codec, preset in zip(rows.labels.codec, rows.labels.preset, strict=True)])
    rungs, errors = rate_errors(rows.group, rows.ladder, rows.bitrate, rows.mos, score)
    measures = {
        "ladder_order": ladder_order(rows.ladder, rows.bitrate, score).share,
        "rate_error_log2": _mean(errors),
    }
    for kind in np.unique(kinds).tolist():
        inside = kinds == kind
        ladders = [name for name, keep in zip(rows.ladder, inside, strict=True) if keep]
        measures[f"ladder_order {kind}"] = ladder_order(ladders, rows.bitrate[inside], score[inside]).share
        measures[f"rate_error_log2 {kind}"] = _mean(errors[kinds[rungs] == kind])
    return measures


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _pair_measures(rows: ScoreRows, score: Floats, listed: dict[str, list[tuple[str, str, int]]]) -> dict[str, float]:
    """Return pair accuracies by kind and, with KVQ's two kinds, its final score over all videos together."""
    by_name = dict(zip(rows.labels.video_id, score.tolist(), strict=True))
    measures = {
        f"pairs {kind}" if kind else "pairs": pair_accuracy(pairs, by_name) for kind, pairs in sorted(listed.items())
    }
    if {"source", "nonsource"} <= set(listed):
        labelled = ~np.isnan(rows.mos)
        whole = coefficients(rows.mos[labelled], score[labelled, None])
        measures["kvq"] = float(0.45 * (whole.srocc[0] + whole.plcc[0])) + 0.05 * (
            measures["pairs source"] + measures["pairs nonsource"]
        )
    return measures


def _read_pairs(path: Path) -> dict[str, list[tuple[str, str, int]]]:
    if path.suffix.lower() in (".xlsx", ".xls"):
        raise ValueError(
            f"'{path}' is a spreadsheet; save its sheets as one CSV with columns first,second,winner,kind, where kind "
            "is the sheet's name (source or nonsource)."
        )
    table = read_csv(path, ["first", "second", "winner"])
    winners = numbers(table, "winner", path)
    kinds = table["kind"] if "kind" in table else [""] * len(table)
    listed: dict[str, list[tuple[str, str, int]]] = {}
    for first, second, winner, kind in zip(table["first"], table["second"], winners, kinds, strict=True):
        listed.setdefault(kind, []).append((first, second, int(winner)))
    return listed
