"""Accuracy on listed pairs of videos, as the KVQ challenge (NTIRE 2024) scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def pair_accuracy(pairs: Sequence[tuple[str, str, int]], scores: Mapping[str, float]) -> float:
    """Return the share of pairs whose winner has the higher score, in [0, 1].

    Args:
        pairs: First video, second video, and the winner: 1 or 2. Equal scores count as a vote for 1.
        scores: Video -> score, larger is better.

    Raises:
        ValueError: If there is no pair, a winner is neither 1 nor 2, or a video has no score.
    """
    if not pairs:
        raise ValueError("There are no pairs to score; expected rows of two videos and the winner.")
    right = 0
    for first, second, winner in pairs:
        if winner not in (1, 2):
            raise ValueError(f"The winner of {first!r} and {second!r} is {winner}; expected 1 or 2.")
        missing = [name for name in (first, second) if name not in scores]
        if missing:
            raise ValueError(f"The pair list names {missing[0]!r}, which has no score; predict it or drop the pair.")
        right += winner == (1 if scores[first] >= scores[second] else 2)
    return right / len(pairs)
