"""Choose the next pairs to ask: those whose answers should tell most about the order, given the votes so far."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvqa_models.corpus.labels.bradley_terry import ANSWERS, Posterior, fit_posterior, information
from cvqa_models.corpus.labels.votes import QUESTION_COLUMNS

SPREAD = 2.0  # expected standard deviation of scores, in logits, before any vote


def next_questions(videos: pd.DataFrame, votes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return a batch of questions: for each set of n videos, n - 1 different pairs.

    Pairs are chosen one by one: always the pair that is worth most in addition to those chosen before; see `worth`. To
    ask by expected information, and in batches, is the idea of ASAP (Mikhailiuk et al., ICPR 2020) and Hybrid-MST (Li
    et al., NeurIPS 2018), which have no ties; our definition of the worth differs from theirs.

    Args:
        videos: Columns `video_id` and `group`.
        votes: Columns `group`, `left`, `right`, `answer`, of these videos.
        seed: Seed of the choice between pairs of equal worth, of the sides and of the order.

    Returns:
        Columns `group`, `left`, `right`, `expected`; the last is empty.
    """
    rng = np.random.default_rng(seed)
    counting = votes[votes["answer"].isin(ANSWERS) & (votes["left"] != votes["right"])]
    given = {str(group): rows for group, rows in counting.groupby("group", sort=False)}
    rows: list[tuple[str, str, str, str]] = []
    for group, members in videos.groupby("group", sort=False):
        names = rng.permutation(members["video_id"].to_numpy())
        for a, b in _batch(_posterior(names, given.get(str(group), counting[:0]))):
            left, right = (a, b) if rng.random() < 0.5 else (b, a)
            rows.append((str(group), names[left], names[right], ""))
    return pd.DataFrame(rows, columns=QUESTION_COLUMNS).sample(frac=1, random_state=seed).reset_index(drop=True)


def _posterior(names: NDArray, votes: pd.DataFrame) -> Posterior:
    index = {name: number for number, name in enumerate(names)}
    left, right = (votes[side].map(index).to_numpy(dtype=np.int64) for side in ("left", "right"))
    counts = np.stack([votes["answer"] == answer for answer in ANSWERS], axis=1).astype(np.float64)
    return fit_posterior(left, right, counts, len(names), ridge=1 / (2 * SPREAD**2))


def _batch(posterior: Posterior) -> list[tuple[int, int]]:
    first, second = np.triu_indices(len(posterior.score), 1)
    told = information(posterior.score[first] - posterior.score[second], posterior.tie)
    covariance, taken = posterior.covariance.copy(), np.zeros(len(first), dtype=np.bool_)
    for _ in range(min(len(posterior.score) - 1, len(first))):
        pair = int(np.argmax(np.where(taken, -np.inf, worth(posterior.score, covariance, told))))
        taken[pair] = True
        # One more answer makes all scores more certain: this updates a normal distribution by one linear measurement.
        moved = covariance[first[pair]] - covariance[second[pair]]
        variance = moved[first[pair]] - moved[second[pair]]
        covariance -= told[pair] / (1 + told[pair] * variance) * np.outer(moved, moved)
    return list(zip(first[taken].tolist(), second[taken].tolist(), strict=True))


def worth(score: NDArray, covariance: NDArray, told: NDArray) -> NDArray[np.float64]:
    """Return how much one answer to each pair is expected to tell about the order of all, shape (n (n - 1) / 2,).

    Scores are assumed to be normal. An answer lowers the variance of every difference of two scores. How much depends
    on the information of the answer, and on how the two pairs are correlated. The worth is the sum of these reductions,
    each weighted by the density of a difference of 0: if an order is clear, a more certain distance is worth nothing.

    Args:
        score: Means, shape (n,).
        covariance: Their covariance, shape (n, n).
        told: Information of one answer to each pair about its difference, in the order of `numpy.triu_indices`.
    """
    first, second = np.triu_indices(len(score), 1)
    moved = covariance[first] - covariance[second]
    pairs = np.arange(len(first))
    variance = np.maximum(moved[pairs, first] - moved[pairs, second], 1e-12)
    difference = score[first] - score[second]
    open_order = np.exp(-(difference**2) / (2 * variance)) / np.sqrt(variance)
    # The weighted sum of squares over all pairs is a quadratic form with the Laplacian of the weights: cheaper than
    # n^4.
    laplacian = np.zeros_like(covariance)
    laplacian[first, second] = laplacian[second, first] = -open_order
    np.fill_diagonal(laplacian, -laplacian.sum(1))
    reduction = ((moved @ laplacian) * moved).sum(1)
    worths: NDArray[np.float64] = told * reduction / (1 + told * variance)
    return worths
