"""Show and write the result of `cvqa crossval`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from cvqa_models.evaluation.evaluate import ALL, Evaluation
from cvqa_models.evaluation.payload import without_nan
from cvqa_models.messages import console, printable
from cvqa_models.metrics.group_score import METRICS
from cvqa_models.training.crossval import Outcome


def show(outcomes: Mapping[str, Outcome], evaluation: Evaluation, missing: Sequence[str] = ()) -> None:
    """Print per configuration the mean over seeds and the result of the averaged scores; then the baselines.

    Args:
        outcomes: Results of training, by name.
        evaluation: Evaluation of each configuration's average, of all together and of the baselines.
        missing: Why a baseline is missing.
    """
    first = next(iter(evaluation.rows.values())).score
    shown = Table(title=f"{first.videos} videos in {len(first.groups)} groups, all out of fold")
    shown.add_column("configuration")
    names = [*(name.upper() for name in METRICS), "result", "sd", "last step", "inner", "seeds together"]
    for name in [*names, "95 % interval", "difference to the first"]:
        if name != "difference to the first" or evaluation.paired:
            shown.add_column(name, justify="right")
    for name, row in evaluation.rows.items():
        cells = [""] * 7
        if name in outcomes:
            one = outcomes[name]
            cells = [f"{value:.4f}" for value in one.results.mean(1)]
            cells += [f"{one.results[-1].std(ddof=len(one.results[-1]) > 1):.4f}"]
            cells += [f"{one.last_results[-1].mean():.4f}", f"{one.inner.mean():.4f}"]
        ci = row.ci.get("result")
        cells += [f"{row.score.result:.4f}", f"[{ci[0]:.4f}, {ci[1]:.4f}]" if ci else ""]
        gap = evaluation.paired.get(name)
        if gap is not None:
            cells.append(f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")
        shown.add_row(printable(name), *cells)
    # A file or a pipe has no width, and the default width would cut every number.
    page = console(width=None if sys.stdout.isatty() else 180)
    page.print(shown)
    for sentence in missing:
        page.print(printable(sentence), soft_wrap=True)


def payload_of(outcomes: Mapping[str, Outcome], evaluation: Evaluation, missing: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON content; a value that is not defined is null."""
    rows: dict[str, Any] = {}
    for name, row in evaluation.rows.items():
        together = {metric: getattr(row.score, metric) for metric in ALL}
        rows[name] = {"together": {**together, "ci": {metric: list(ends) for metric, ends in row.ci.items()}}}
        if name in outcomes:
            one = outcomes[name]
            rows[name] |= {
                "seeds": {metric: one.results[index].tolist() for index, metric in enumerate(ALL)},
                "last_step": one.last_results[-1].tolist(),
                "inner": one.inner.tolist(),
                "decay": one.decay.tolist(),
                "step": one.step.tolist(),
            }
    paired = {name: vars(gap) for name, gap in evaluation.paired.items()}
    content: dict[str, Any] = without_nan(
        {
            "rows": rows,
            "difference_to": next(iter(evaluation.rows)),
            "differences": paired,
            "missing_baselines": list(missing),
        }
    )
    return content
