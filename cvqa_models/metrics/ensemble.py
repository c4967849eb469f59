"""Averages of several models' scores, which may have different scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvqa_models.metrics.correlation import Floats, near_one
from cvqa_models.metrics.group_score import rows_of_groups


def standardise(group: Sequence[str], scores: Floats) -> Floats:
    """Return each column with mean 0 and population spread 1 inside every group; constant groups become 0.

    Args:
        group: Group name per video, N in all.
        scores: Scores, shape (N, K).

    Raises:
        ValueError: If the lengths differ.
    """
    if len(group) != len(scores):
        raise ValueError(f"{len(group)} groups for {len(scores)} rows of scores; expected as many.")
    result = np.zeros(scores.shape)
    for rows in rows_of_groups(group).values():
        own = near_one(scores[rows])
        own -= own[0].copy()  # equal values become exact zeros
        own -= own.mean(0)
        spread = own.std(0)
        result[rows] = own / np.where(spread > 0, spread, 1)
    return result


def combine(group: Sequence[str], scores: Floats, weights: Sequence[float] | None = None) -> Floats:
    """Return the weighted average of the columns after standardisation in each group, shape (N,).

    Args:
        group: Group name per video.
        scores: Scores of K models, shape (N, K).
        weights: One per model, not all 0; None for equal weights.

    Raises:
        ValueError: If the number of weights is wrong, or they are negative or add up to 0.
    """
    share = np.ones(scores.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (scores.shape[1],) or (share < 0).any() or not share.sum() > 0:
        raise ValueError(
            f"`weights` are {share.tolist()}; expected {scores.shape[1]} numbers, none negative and not all 0."
        )
    average: Floats = standardise(group, scores) @ (share / share.sum())
    return average


def agreement(group: Sequence[str], scores: Floats) -> Floats:
    """Return the correlation inside groups between all models, shape (K, K); NaN for a constant model.

    Args:
        group: Group name per video.
        scores: Scores of K models, shape (N, K).
    """
    columns = standardise(group, scores)
    products = columns.T @ columns
    length = np.sqrt(np.diag(products))
    size = np.outer(length, length)
    correlation: Floats = np.divide(products, size, out=np.full_like(products, np.nan), where=size > 0)
    return correlation


def fit_weights(group: Sequence[str], mos: Floats, scores: Floats) -> Floats:
    """Return weights of K models, with sum 1; fit them on validation videos.

    They are the non-negative least-squares fit of the models' standardised scores to the standardised subjective scores
    (ours). So no weight is negative, and a model that does not help, or has a reversed order, gets 0.

    Args:
        group: Group name per video.
        mos: Subjective scores, shape (N,); NaN leaves a video out.
        scores: Scores of K models, shape (N, K).

    Raises:
        ValueError: If no model rises with `mos`.
    """
    from scipy.optimize import nnls

    used = ~np.isnan(mos)
    names = np.asarray(group, dtype=np.str_)[used].tolist()
    weights = nnls(standardise(names, scores[used]), standardise(names, mos[used][:, None])[:, 0])[0]
    if not weights.sum() > 0:
        raise ValueError("No model's scores rise with the subjective ones; there is nothing to average.")
    share: Floats = weights / weights.sum()
    return share
