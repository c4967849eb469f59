"""A comparison of encoders as plain values, for JSON and for the rows of a table."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cvqa_models.evaluation.delta_rates import Delta
from cvqa_models.evaluation.payload import without_nan
from cvqa_models.evaluation.rate_distortion import Comparison

COLUMNS = (
    "score", "source", "preset", "encoder", "anchor", "bd_rate_percent", "overlap_low", "overlap_high", "overlap_share",
    "flags", "reason",
)  # fmt: skip


def comparison_rows(result: Comparison) -> list[dict[str, object]]:
    """Return a row with `COLUMNS` for every source, encoder and score; cells are empty if there is no delta rate."""
    return [dict(zip(COLUMNS, _row(one, result), strict=True)) for one in result.deltas]


def _row(one: Delta, result: Comparison) -> list[object]:
    told: list[object] = ["", "", "", ""]
    if one.bd is not None:
        low, high = overlap(one, result)
        told = [one.bd.percent, low, high, one.bd.share]
    return [one.score, one.source, one.preset, one.encoder, result.anchor, *told, "; ".join(one.flags), one.reason]


def overlap(one: Delta, result: Comparison) -> tuple[float, float]:
    """Return the ends of an overlap as values of the score, the worse first."""
    assert one.bd is not None
    sign = -1 if one.score in result.turned else 1
    return sign * one.bd.low, sign * one.bd.high


def comparison_payload(result: Comparison) -> dict[str, Any]:
    """Return the JSON content; a value that is not defined is null."""
    content = {
        "anchor": result.anchor,
        "interpolation": result.interpolation,
        "scores": list(result.scores),
        "lower_is_better": sorted(result.turned),
        "means": [asdict(one) for one in result.means],
        "differences": {
            score: [{"encoder": a, "other": b, **vars(gap)} for (a, b), gap in pairs]
            for score, pairs in result.differences.items()
        },
        "deltas": comparison_rows(result),
        "agreement": [{**asdict(one), "anchor": result.anchor} for one in result.agreements],
        "ladders": [asdict(one) for one in result.ladders],
        "curves": [
            {
                **{key: getattr(one, key) for key in ("score", "source", "preset", "encoder")},
                "kbps": one.points.rate.tolist(),
                "values": (one.points.quality * (-1 if one.score in result.turned else 1)).tolist(),
                "passed_over": one.points.passed_over,
            }
            for one in result.curves
        ],
        "left_out": list(result.left_out),
    }
    cleaned: dict[str, Any] = without_nan(_lists(content))
    return cleaned


def _lists(value: Any) -> Any:
    """Return `value` with lists instead of tuples."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value
