"""`cvqa leaderboard`: write published and measured figures to one page."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.files import check_there, write_text
from cvqa_models.messages import say


def leaderboard(
    *,
    scores: Path,
    table: Path,
    predictions: list[Path] | None = None,
    bootstrap: int = 2000,
    out: Path = Path("docs/leaderboard.md"),
) -> None:
    """Write a page in Markdown that ranks the systems by published figures, and metrics by figures measured here.

    Args:
        scores: CVQAD's label table, such as `Subjective_scores.csv`.
        table: CVQAD's table of metrics, such as `Metric_scores_example.csv`; each column becomes a row.
        predictions: Out-of-fold predictions, as `cvqa crossval --out` writes them; each file becomes a row.
        bootstrap: Number of resamples of the sources for 95 % intervals; 0 for none.
        out: File of the page.

    Examples:
        cvqa leaderboard --scores Subjective_scores.csv --table Metric_scores_example.csv
    """
    check_there("file", scores, table, *(predictions or []))
    from cvqa_models.evaluation.leaderboard import leaderboard as page
    from cvqa_models.inference.systems import CHALLENGE, PUBLIC_SETS

    elsewhere = {name: (figures.values, figures.source) for name, figures in PUBLIC_SETS.items()}
    write_text(out, page(scores, table, CHALLENGE, elsewhere, predictions or [], bootstrap=bootstrap))
    say(f"{out}")
