"""The cases where an encoder loses most against the anchor: encodes of almost equal rate, side by side."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from cvqa_models.evaluation.delta_rates import Delta
from cvqa_models.evaluation.rate_distortion import Comparison
from cvqa_models.report.html import picture
from cvqa_models.report.stills import still

CASES = 3
NEAR = 1.25  # largest ratio of the rates of two encodes that are shown side by side


def worst_cases(result: Comparison, score: str) -> str:
    """Return the cases with the largest delta rates by a score, at most one per source, as a part of a page."""
    ordered = sorted((one for one in result.deltas if one.bd and one.score == score), key=_percent, reverse=True)
    cases: dict[str, Delta] = {}
    for one in ordered:
        cases.setdefault(one.source, one)
    shown = [_case(result, one) for one in list(cases.values())[:CASES]]
    note = (
        f"<p class=note>The largest delta rates by {escape(score)}; of nearly one rate, the pair that differs most.</p>"
    )
    return "<h2>Worst cases</h2>" + note + "".join(shown)


def _percent(one: Delta) -> float:
    assert one.bd is not None
    return one.bd.percent


def _case(result: Comparison, one: Delta) -> str:
    rows = result.videos
    unit = rows[(rows["source"] == one.source) & (rows["preset"] == one.preset) & rows[one.score].notna()]
    pair = _pair(unit[unit["encoder"] == one.encoder], unit[unit["encoder"] == result.anchor], one, result)
    figures = []
    for row in pair:
        content = still(Path(row["path"])) if row["path"] else None
        caption = f"{row['encoder']}, {row['kbps']:.0f} kb/s, {one.score} {row[one.score]:.4g}"
        image = picture(content, caption) if content else ""
        figures.append(f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>")
    title = " ".join(part for part in (one.source, one.preset) if part)
    heading = f"<h3>{escape(title)}: {escape(one.encoder)} {_percent(one):+.1f} %</h3>"
    return heading + f"<div class=beside>{''.join(figures)}</div>"


def _pair(ours: pd.DataFrame, theirs: pd.DataFrame, one: Delta, result: Comparison) -> tuple[pd.Series, pd.Series]:
    """Return an encode and one of the anchor with almost the same rate, such that the score differs most."""
    gap = np.abs(np.log(ours["kbps"].to_numpy()[:, None] / theirs["kbps"].to_numpy()))
    sign = -1 if one.score in result.turned else 1
    loss = sign * (ours[one.score].to_numpy()[:, None] - theirs[one.score].to_numpy())
    near = gap <= max(np.log(NEAR), gap.min())
    mine, other = np.unravel_index(np.argmin(np.where(near, loss, np.inf)), gap.shape)
    return ours.iloc[int(mine)], theirs.iloc[int(other)]
