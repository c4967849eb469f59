"""A comparison of encoders as one self-contained page, with its numbers as JSON and CSV and its pictures as PNG."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cvqa_models.evaluation.compared_videos import HUMAN
from cvqa_models.evaluation.comparison_payload import COLUMNS, comparison_payload, comparison_rows, overlap
from cvqa_models.evaluation.delta_rates import MeanDelta
from cvqa_models.evaluation.rate_distortion import Comparison
from cvqa_models.files import write_bytes, write_text
from cvqa_models.report.comparison_plots import delta_bars, mean_figure, source_figure
from cvqa_models.report.html import page, picture, table
from cvqa_models.report.plots import png
from cvqa_models.report.worst_cases import worst_cases
from cvqa_models.tables import csv_text

PAGE = "comparison.html"
SPACE = "\u00a0"  # a space at which lines are not broken
HOW_TO_READ = """<h2>How to read this</h2>
<p class=note>A delta rate (BD-rate) of &minus;20 % means: one fifth less bitrate for the same score. It is the mean
difference of log rate over the scores that both curves reach; nothing is extrapolated. Each source counts once.
Intervals hold 95 % of the means over resampled sources, the same resamples for every encoder; few sources make them
rough. Points that a cheaper encode equals or beats are passed over and counted as not monotone; where curves cross, the
better encoder depends on the rate. A score stands for what it measures, not for people.</p>"""


def write_comparison(result: Comparison, out: str | Path) -> Path:
    """Write a comparison into a folder and return its page, `comparison.html`, which needs no other file.

    Next to it are `comparison.json` with everything, `comparison.csv` with a row for every source, encoder and score,
    and the pictures as PNG. The page shows stills of the worst cases if the table names files.

    Args:
        result: Result of `compare`.
        out: The folder; it is made.

    Raises:
        ValueError: If the folder cannot be written.
    """
    folder = Path(out)
    first = result.scores[0]
    parts = [_head(result), *_pictures(result, first, folder)]
    if HUMAN in result.scores and first != HUMAN:
        parts += _pictures(result, HUMAN, folder)
    parts += [_all_scores(result), _against_each_other(result, first), _per_source(result, first)]
    parts += [worst_cases(result, first), _ladders(result, first), _agreement(result), _left_out(result), HOW_TO_READ]
    write_text(folder / "comparison.json", json.dumps(comparison_payload(result), indent=1) + "\n")
    rows = [[row[name] for name in COLUMNS] for row in comparison_rows(result)]
    write_text(folder / "comparison.csv", csv_text([COLUMNS, *rows]))
    write_text(folder / PAGE, page(f"Encoders against {result.anchor}", [part for part in parts if part]))
    return folder / PAGE


def verdict(one: MeanDelta, anchor: str) -> str:
    """Return a sentence that states a mean delta rate."""
    change = f"{abs(one.percent):.1f} % {'less' if one.percent < 0 else 'more'} rate than"
    ends = "" if math.isnan(one.low) else f"95 % interval {one.low:+.1f} to {one.high:+.1f} %, "
    preset = f" (preset {one.preset})" if one.preset else ""
    sources = f"{one.sources} source{'s' if one.sources > 1 else ''}"
    flagged = f", {one.flagged} flagged" if one.flagged else ""
    return f"{one.encoder}{preset} takes {change} {anchor} for the same {one.score} ({ends}{sources}{flagged})."


def _head(result: Comparison) -> str:
    encodes = f"{len(result.videos)} encodes of {result.videos['source'].nunique()} sources"
    main = [one for one in result.means if one.score == result.scores[0] and not one.preset]
    main.sort(key=lambda one: one.percent)
    sentences = "".join(f"<li>{escape(verdict(one, result.anchor))}</li>" for one in main)
    warning = ""
    if result.left_out:
        warning = f"<p class=warning>{len(result.left_out)} things could not be used; see the end of the page.</p>"
    title = f"<h1>Encoders against {escape(result.anchor)}</h1>"
    return f"{title}<p class=note>{encodes}.</p><ul>{sentences}</ul>{warning}"


def _pictures(result: Comparison, score: str, folder: Path) -> list[str]:
    name = "people" if score == HUMAN else "score"
    mean = mean_figure(result, score)
    figures: list[tuple[str, Figure | None, str]] = [
        ("rates", delta_bars(result, score), f"Delta rate by {score}: bar and line are mean and 95 % interval, a dot "
         "is a source"),
        ("curves", mean, f"Mean {score} over all sources, at rates that all of an encoder's sources reach"),
        ("sources", source_figure(result, score), f"{score} of each source"),
    ]  # fmt: skip
    parts = [f"<h2>By {escape(score)}</h2>"]
    for kind, figure, caption in figures:
        if figure is None:
            parts.append("<p class=note>The sources share no rates, so there is no mean curve.</p>")
            continue
        content = png(figure)
        write_bytes(folder / f"{name}-{kind}.png", content)
        shown = picture(content, caption)
        many = " class=many" if kind == "sources" else ""  # it scrolls instead of getting too small to read
        parts.append(f"<figure{many}>{shown}<figcaption>{escape(caption)}.</figcaption></figure>")
    return parts


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1f}{SPACE}%"


def _range(low: str, high: str) -> str:
    return f"{low}{SPACE}to{SPACE}{high}"


def _all_scores(result: Comparison) -> str:
    rows = [
        {
            "score": one.score + (" (lower is better)" if one.score in result.turned else ""),
            "encoder": one.encoder,
            "preset": one.preset or "all",
            "delta rate": _percent(one.percent),
            "95 % interval": "-" if math.isnan(one.low) else _range(f"{one.low:+.1f}", f"{one.high:+.1f}"),
            "sources": one.sources,
            "flagged": one.flagged,
        }
        for one in result.means
    ]
    frame = pd.DataFrame(rows)
    if set(frame["preset"]) == {"all"}:
        frame = frame.drop(columns="preset")
    return "<h2>All scores</h2>" + table(frame)


def _against_each_other(result: Comparison, score: str) -> str:
    rows = [
        {
            "encoders": f"{first} less {second}",
            f"difference of delta rates by {score}": f"{gap.value:+.1f}{SPACE}points",
            "95 % interval": _range(f"{gap.low:+.1f}", f"{gap.high:+.1f}"),
        }
        for (first, second), gap in result.differences.get(score, [])
    ]
    return "<h2>Encoders against each other</h2>" + table(pd.DataFrame(rows)) if rows else ""


def _per_source(result: Comparison, score: str) -> str:
    rows = []
    for one in result.deltas:
        if one.score == score and (one.bd or one.reason):
            ends = overlap(one, result) if one.bd else None
            rows.append({
                "source": " ".join(part for part in (one.source, one.preset) if part),
                "encoder": one.encoder,
                "delta rate": _percent(one.bd.percent) if one.bd else "-",
                "overlap": _range(f"{ends[0]:.4g}", f"{ends[1]:.4g}") if ends else "-",
                "of both ranges": f"{one.bd.share:.0%}" if one.bd else "-",
                "what to know": "; ".join(one.flags) or (f"none: {one.reason}" if one.reason else ""),
            })  # fmt: skip
    return f"<h2>Each source, by {escape(score)}</h2>" + table(pd.DataFrame(rows))


def _ladders(result: Comparison, score: str) -> str:
    if not result.ladders:
        return ""
    rows = [
        {
            "source": " ".join(part for part in (one.source, one.preset) if part),
            "encoder": one.encoder,
            "ladder": ", ".join(f"{rung.lines}p at {rung.kbps:.0f} kb/s ({rung.score:.4g})" for rung in one.rungs),
        }
        for one in result.ladders
    ]
    note = (
        f"<p class=note>The convex hull of {escape(score)} over rate, over all sizes of a source, thinned so that "
        "neighbours differ in rate by a factor of 1.5 and more. A score that sees each file at its own size knows "
        "nothing of what a small picture has lost; trust ladders only by a score that compares at one size.</p>"
    )
    return "<h2>Recommended ladders</h2>" + note + table(pd.DataFrame(rows))


def _agreement(result: Comparison) -> str:
    if not result.agreements:
        return ""

    def with_ends(value: float, ends: tuple[float, float]) -> str:
        return f"{value:.2f}" if math.isnan(ends[0]) else f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"

    rows = [
        {
            "score": one.score,
            "comparisons": one.comparisons,
            "same sign": with_ends(one.sign, one.sign_interval),
            "rank (SROCC)": with_ends(one.rank, one.rank_interval),
            "error (log2 of rate)": with_ends(one.error, one.error_interval),
        }
        for one in result.agreements
    ]
    note = (
        "<p class=note>Delta rates by each score beside those by people: the share that agree on who saves rate, their "
        "rank correlation, and the mean error, where 1 is a factor of two. Brackets hold 95 % intervals over "
        "sources.</p>"
    )
    return "<h2>Agreement with people</h2>" + note + table(pd.DataFrame(rows))


def _left_out(result: Comparison) -> str:
    if not result.left_out:
        return ""
    return "<h2>Left out</h2><ul>" + "".join(f"<li>{escape(one)}</li>" for one in result.left_out) + "</ul>"
