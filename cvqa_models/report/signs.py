"""Warn of reversed orders: official figures are absolute values, so a reversed order looks like a good one."""

from __future__ import annotations

from cvqa_models.metrics.group_score import METRICS, GroupScore

REVERSED = "REVERSED"


def sign_notes(name: str, score: GroupScore) -> list[str]:
    """Return a sentence about pooled coefficients below 0, and one that lists each group with a coefficient below 0.

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
        lowest = {row.group: min(row.srocc, row.plcc, row.krocc) for row in score.groups}
        listed = ", ".join(f"{group} ({lowest[group]:+.2f})" for group in score.against)
        sentences.append(
            f"{name}: against the subjective scores in {len(score.against)} of {len(score.counted)} groups (lowest "
            f"coefficient): {listed}"
        )
    return sentences
