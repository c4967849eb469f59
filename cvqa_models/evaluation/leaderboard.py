"""A page that ranks published figures and figures measured here, and says how each was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cvqa_models.evaluation.evaluate import Evaluation, evaluate

Published = Mapping[str, Sequence[float | None]]
"""System -> SROCC, PLCC, KROCC, Result; None if not published."""

_PAGE = """# Leaderboard

Made by `cvqa leaderboard`; do not edit it by hand. Coefficients are pooled over groups, a group being a source in one
preset, as the [challenge evaluates](how-to/challenge.md). Rows of different tables do not compare: each has its videos.

## The challenge's test set

What the report of the AIM 2024 challenge says of its teams, as far as it is at hand. Nothing here was measured by this
project: the videos and the teams' weights cannot be had.

{challenge}

## CVQAD's public part

Measured here, on {videos} videos with human scores. `NR` sees no source and `FR` does. The values of the metrics are
those of CVQAD's own table; a row of *predictions* comes from `cvqa crossval`, out of fold. Intervals resample the
{references} sources.

{measured}
{elsewhere}"""
_ELSEWHERE = """
## Public sets

What authors publish of their own model on sets that it was not trained on, with their way to measure.

| system | figures | source |
|---|---|---|
{rows}
"""


def leaderboard(
    scores: str | Path,
    table: str | Path,
    challenge: Published,
    elsewhere: Mapping[str, tuple[Mapping[str, float], str]],
    predictions: Sequence[str | Path] = (),
    *,
    bootstrap: int = 2000,
) -> str:
    """Return a page in Markdown: systems by their published figures, and metrics by those measured here.

    Args:
        scores: CVQAD's label table.
        table: Its table of metrics; each column becomes a row of the page.
        challenge: The challenge's own figures.
        elsewhere: System -> figures on public sets by name, and their source.
        predictions: CSV files with `video_id,score`; each becomes a row.
        bootstrap: Number of resamples for the intervals; 0 for none.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is malformed, or the scores do not fit the labels.
    """
    found = [evaluate(scores, table=table, bootstrap=bootstrap)]
    if predictions:
        found.append(evaluate(scores, predictions, bootstrap=bootstrap))
    first = next(iter(found[0].rows.values())).score
    rows = "".join(
        f"| {name} | {', '.join(f'{one} {value:.3f}' for one, value in figures.items())} | {source} |\n"
        for name, (figures, source) in sorted(elsewhere.items())
    )
    return _PAGE.format(
        challenge=_challenge(challenge),
        videos=f"{first.videos:,}",
        references=len({group.group.partition("/")[0] for group in first.groups}),
        measured=_measured(found),
        elsewhere=_ELSEWHERE.format(rows=rows.rstrip()) if rows else "",
    )


def _challenge(published: Published) -> str:
    lines = ["| rank here | system | SROCC | PLCC | KROCC | Result |", "|---|---|---|---|---|---|"]
    ordered = sorted(published.items(), key=lambda row: -(row[1][3] or 0))
    for rank, (name, values) in enumerate(ordered, start=1):
        cells = ["" if value is None else f"{value:.4f}" for value in values]
        lines.append(f"| {rank} | [{name}](systems/{name}.md) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured(found: Sequence[Evaluation]) -> str:
    lines = ["| rank | what | SROCC | PLCC | KROCC | Result | 95 % |", "|---|---|---|---|---|---|---|"]
    rows = {}
    for number, evaluation in enumerate(found):
        kept = evaluation.rows if number == 0 else {name: evaluation.rows[name] for name in evaluation.given}
        rows.update({name if number == 0 else f"*predictions* {name}": row for name, row in kept.items()})
    for rank, (name, row) in enumerate(sorted(rows.items(), key=lambda item: -item[1].score.result), start=1):
        score = row.score
        cells = [f"{value:.4f}" for value in (score.srocc, score.plcc, score.krocc, score.result)]
        ends = row.ci.get("result")
        shown = "" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
        lines.append(f"| {rank} | {name} | {' | '.join(cells)} | {shown} |")
    return "\n".join(lines)
