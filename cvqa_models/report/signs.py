"""Warn of reversed orders: official figures are absolute values, so a reversed order looks like a good one."""

from __future__ import annotations

from cvqa_models.metrics.group_score import METRICS, GroupScore

REVERSED = "REVERSED"
MOST = 40  # groups that a sentence lists


def sign_notes(name: str, score: GroupScore) -> list[str]:
    """Return a sentence about pooled coefficients below 0, and one that lists groups with a coefficient below 0.

    Where more than 40 groups have one, those with the lowest are listed; a large table can have thousands.

    Args:
        name: Name of the scores, at the start of each sentence.
        score: Its evaluation.
    """
    sentences = []
    negative = [metric for metric in METRICS if getattr(score, metric) < 0]
    if negative:
        values = ", ".join(f"{metric.upper()} {getattr(score, metric):.4f}" for metric in negative)
        sentences.append(
            f"{name}: {REVERSED}: pooled {values}. It orders videos against the subjective scores, which the official "
            "absolute values do not show. Where lower is better, say so with `--lower-is-better`."
        )
    if score.against:
        against = set(score.against)
        lowest = {row.group: min(row.srocc, row.plcc, row.krocc) for row in score.groups if row.group in against}
        worst = score.against if len(against) <= MOST else sorted(score.against, key=lowest.__getitem__)[:MOST]
        listed = ", ".join(f"{group} ({lowest[group]:+.2f})" for group in worst)
        others = f" and {len(against) - MOST} others" if len(against) > MOST else ""
        sentences.append(
            f"{name}: against the subjective scores in {len(score.against)} of {len(score.counted)} groups (lowest "
            f"coefficient): {listed}{others}"
        )
    return sentences
