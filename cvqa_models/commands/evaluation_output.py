"""Show the result of `cvqa evaluate`."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

from rich.table import Table

from cvqa_models.evaluation.evaluate import ALL, Evaluation, Row
from cvqa_models.messages import console, printable
from cvqa_models.metrics.bootstrap import Difference
from cvqa_models.metrics.group_score import METRICS
from cvqa_models.report.signs import REVERSED, sign_notes


def show(result: Evaluation, ranked: bool) -> None:
    """Print the rows as a table, the best official figure first if `ranked`, and then the notes."""
    # A file or a pipe has no width, and the default width would cut every number.
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
    """Return a sentence for each fact that the official figures do not show: reversed orders, constants, negations."""
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
