"""What `cvqa evaluate` shows and writes."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cvqa_models.metrics.bootstrap import Difference
from cvqa_models.metrics.group_score import METRICS, GroupScore
from cvqa_models.mistakes import printable
from cvqa_models.report.signs import REVERSED, sign_notes
from cvqa_models.terminal import console

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
    """All rows by name, and the paired differences to the first by name."""

    rows: dict[str, Row]
    paired: dict[str, Difference]


def show(result: Evaluation, ranked: bool) -> None:
    """Print the rows as a table, the best official figure first if `ranked`, and what a reader must know beside it."""
    # A file or a pipe has no width of its own, and the default cuts every number.
    page = console(width=None if sys.stdout.isatty() else 180)
    rows = list(result.rows.items())
    if ranked:
        rows.sort(key=lambda item: _rank(item[1].score.official.result))
    shown = Table(title=f"{rows[0][1].score.videos} videos in {len(rows[0][1].score.groups)} groups")
    shown.add_column("scores")
    for name in (*ALL, "signed", "95 % interval", "difference to the first"):
        if name != "difference to the first" or result.paired:
            shown.add_column(name.upper() if name in METRICS else name, justify="right")
    for name, row in rows:
        shown.add_row(*map(printable, _cells(name, row, result.paired.get(name))))
    page.print(shown)
    for name, row in rows:
        for measure, value in row.extra.items():
            page.print(printable(f"{name}: {measure} {value:.4f}"), soft_wrap=True)
    for sentence in notes(result.rows):
        style = "bold red" if REVERSED in sentence else None
        page.print(printable(sentence), style=style, soft_wrap=True)


def _rank(result: float) -> float:
    return math.inf if math.isnan(result) else -result


def _cells(name: str, row: Row, gap: Difference | None) -> list[str]:
    cells = [name, *(f"{getattr(row.score.official, metric):.4f}" for metric in ALL), f"{row.score.result:+.4f}"]
    ci = row.ci.get("result")
    cells.append(f"[{ci[0]:.4f}, {ci[1]:.4f}]" if ci else "")
    if gap is not None:
        cells.append(f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
    return cells


def notes(rows: Mapping[str, Row]) -> list[str]:
    """Return a sentence for each thing that the official figures do not show: reversed orders, constants, turns."""
    sentences = []
    turned = [name for name, row in rows.items() if row.turned]
    if turned:
        sentences.append(
            f"turned round, since lower is better by their name or `--lower-is-better`: {', '.join(turned)} (rename a "
            "column that had been turned before)"
        )
    for name, row in rows.items():
        sentences += sign_notes(name, row.score)
        if row.score.unscored:
            sentences.append(
                f"{name}: constant in {len(row.score.unscored)} groups, which it cannot rank: "
                f"{', '.join(row.score.unscored[:6])}"
            )
    return sentences


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
        **vars(row.score.official),
        "signed": {metric: getattr(row.score, metric) for metric in ALL},
        "against": row.score.against,
        "turned": row.turned,
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
