"""Show the result of `cvqa compare`, and check its limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvqa_models.evaluation.rate_distortion import Comparison
from cvqa_models.files import write_text
from cvqa_models.messages import printable, say
from cvqa_models.report.comparison import verdict
from cvqa_models.tables import csv_text

if TYPE_CHECKING:
    from cvqa_models.inference.scorer import Score


def scorer_of(checkpoint: Path | None, device: str, trust: Sequence[str], out: Path) -> Callable[[Path], Score]:
    """Return a function that scores a file, and writes each score to `out`/scores.csv at once."""
    from cvqa_models.inference.load import load  # torch is slow to import, and given scores do not need it
    from cvqa_models.models.shipped_level import SHIPPED

    scorer = load(checkpoint or SHIPPED, device=device, trust=trust)
    rows: list[tuple[str, float]] = []

    def scored(path: Path) -> Score:
        found = scorer(path)
        rows.append((str(path), found.value))
        write_text(out / "scores.csv", csv_text([("video", name_of(checkpoint)), *rows]))
        return found

    return scored


def name_of(checkpoint: Path | None) -> str:
    """Return the name of the scores, as in `cvqa score`."""
    return "compression_level" if checkpoint is None else "score"


def show(result: Comparison, page: Path) -> None:
    """Print a sentence for each encoder by the first score, what was left out, and the path of the page."""
    for one in result.means:
        if one.score == result.scores[0]:
            say(verdict(one, result.anchor))
    for sentence in result.left_out:
        say(printable(sentence), stderr=True)
    say(f"page: {page}")


def gates(result: Comparison, fail_below: float | None, fail_if_worse: bool) -> bool:
    """Return whether a limit is not met, and print which."""
    score, failed = result.scores[0], False
    if fail_below is not None:
        below = result.below(fail_below)
        if len(below):
            failed = True
            name, value = below["video_id"].iloc[0], below[score].iloc[0]
            worst = f"first: {name!r} with {value:.4g}"
            text = f"{len(below)} of {len(result.videos)} encodes are worse than `{score}` {fail_below:g} ({worst})."
            say(text, stderr=True, style="bold red")
    if fail_if_worse and result.worse:
        failed = True
        names = ", ".join(f"{one.encoder} ({one.percent:+.1f} %)" for one in result.worse)
        say(f"more rate than {result.anchor} for the same `{score}`: {names}.", stderr=True, style="bold red")
    return failed
