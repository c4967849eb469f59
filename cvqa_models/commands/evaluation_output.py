"""What `cvqa evaluate` shows and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from cvqa_models.metrics.bootstrap import Difference
from cvqa_models.metrics.group_score import METRICS, GroupScore

ALL = (*METRICS, "result")
BASELINE = "bitrate_kbps"


@dataclass(frozen=True)
class Row:
    """One evaluated column: its score, 95 % intervals by coefficient, and further measures by name."""

    score: GroupScore
    ci: dict[str, tuple[float, float]]
    extra: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """All rows by name, and the paired differences to the first by name."""

    rows: dict[str, Row]
    paired: dict[str, Difference]


def show(result: Evaluation, ranked: bool) -> None:
    """Print the rows as a table, the best first if `ranked`, and what a reader must know beside it."""
    console = Console()
    rows = list(result.rows.items())
    if ranked:
        rows.sort(
            key=lambda item: -math.inf if math.isnan(item[1].score.result) else item[1].score.result, reverse=True
        )
    shown = Table(title=f"{rows[0][1].score.videos} videos in {len(rows[0][1].score.groups)} groups")
    shown.add_column("scores")
    for name in (*ALL, "95 % interval", "difference to the first"):
        if name != "difference to the first" or result.paired:
            shown.add_column(name.upper() if name in METRICS else name, justify="right")
    for name, row in rows:
        cells = [f"{getattr(row.score, metric):.4f}" for metric in ALL]
        ci = row.ci.get("result")
        cells.append(f"[{ci[0]:.4f}, {ci[1]:.4f}]" if ci else "")
        gap = result.paired.get(name)
        if gap is not None:
            cells.append(f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
        shown.add_row(name, *(cell.replace("[", r"\[") for cell in cells))
    console.print(shown)
    for name, row in rows:
        for measure, value in row.extra.items():
            console.print(f"{name}: {measure} {value:.4f}", soft_wrap=True, highlight=False)
        if row.score.unscored:
            console.print(
                f"{name}: constant in {len(row.score.unscored)} groups, which it cannot rank: "
                f"{', '.join(row.score.unscored[:6])}",
                soft_wrap=True,
                highlight=False,
            )


def payload_of(result: Evaluation, flat: bool) -> dict[str, Any]:
    """Return the JSON content: one object if `flat`, else one per row; a value that is not defined is null."""
    objects = {name: _object(row) for name, row in result.rows.items()}
    if flat:
        first, *others = objects
        return {**objects[first], **({BASELINE: objects[BASELINE]} if BASELINE in others else {})}
    paired = {name: vars(gap) for name, gap in result.paired.items()}
    return {"rows": objects, **({"difference_to": next(iter(objects)), "differences": paired} if paired else {})}


def _object(row: Row) -> dict[str, Any]:
    content = {
        **{metric: getattr(row.score, metric) for metric in ALL},
        "ci": {metric: list(ends) for metric, ends in row.ci.items()},
        "videos": row.score.videos,
        "groups": [dict(vars(group)) for group in row.score.groups],
        "unscored": row.score.unscored,
        **row.extra,
    }
    cleaned: dict[str, Any] = without_nan(content)
    return cleaned


def without_nan(value: Any) -> Any:
    """Return `value` with null in the place of every number that is not defined."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return value
