"""An evaluation as plain values, for JSON."""

from __future__ import annotations

from typing import Any

from cvqa_models.evaluation.evaluate import ALL, BASELINE, Evaluation, Row


def payload_of(result: Evaluation, flat: bool) -> dict[str, Any]:
    """Return the JSON content: one object if `flat`, else one per row; a value that is not defined is null."""
    objects = {name: _object(row) for name, row in result.rows.items()}
    left_out = {"left_out": list(result.left_out)} if result.left_out else {}
    if flat:
        first, *others = objects
        return {**objects[first], **({BASELINE: objects[BASELINE]} if BASELINE in others else {}), **left_out}
    paired = {name: vars(gap) for name, gap in result.paired.items()}
    differences = {"difference_to": next(iter(objects)), "differences": paired} if paired else {}
    return {"rows": objects, **differences, **left_out}


def _object(row: Row) -> dict[str, Any]:
    content = {
        **vars(row.score.official),
        "signed": {metric: getattr(row.score, metric) for metric in ALL},
        "against": row.score.against,
        "turned": row.turned,
        "ci": {metric: list(ends) for metric, ends in row.ci.items()},
        "videos": row.score.videos,
        "groups": list(map(vars, row.score.groups)),  # `without_nan` copies
        "unscored": row.score.unscored,
        **row.extra,
    }
    cleaned: dict[str, Any] = without_nan(content)
    return cleaned


def without_nan(value: Any) -> Any:
    """Return `value` with null instead of every number that is not defined."""
    if isinstance(value, dict):
        # There are a million values in a large table, so only what holds others is looked into by a further call.
        return {
            key: without_nan(item) if isinstance(item, dict | list) else _or_null(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return _or_null(value)


def _or_null(value: Any) -> Any:
    return None if value != value else value  # only NaN differs from itself
