"""Pearson, Spearman and Kendall inside groups, for many groups and columns of scores at once.

Ranks and pairs are computed from signs of differences, which are exact in floating point. So a perfect order gives
exactly 1, where library routines give 1 - 1e-16, and ties have the same rank. Values are scaled near 1 before they are
squared, so scores may have any scale, 1e200 or 1e-200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SIGNS_AT_ONCE = 400_000
_SORTED = 1000  # size of a group above which sorting is faster than comparing all pairs


class Coefficients(NamedTuple):
    """The three coefficients of each group and column, shape (G, K); NaN where a column or `mos` is constant."""

    srocc: Floats
    plcc: Floats
    krocc: Floats


def coefficients(mos: Floats, scores: Floats) -> Coefficients:
    """Return all three coefficients of each column of `scores` with `mos`, in [-1, 1], shape (K,).

    Args:
        mos: Subjective scores of one group, finite, shape (n,).
        scores: Predicted scores in the same order, finite, shape (n, K).

    Returns:
        Spearman with mid-ranks, Pearson, Kendall's tau-b.

    Raises:
        ValueError: If the shapes do not agree.
    """
    if mos.ndim != 1 or scores.ndim != 2 or len(mos) != len(scores):
        raise ValueError(f"`mos` and `scores` have shapes {mos.shape} and {scores.shape}; expected (n,) and (n, K).")
    return Coefficients(*(values[0] for values in coefficients_of_groups(mos[None], scores[None])))


def coefficients_of_groups(mos: Floats, scores: Floats) -> Coefficients:
    """Return the coefficients of G groups of the same size; each is the same to the bit as if computed alone.

    Args:
        mos: Subjective scores, finite, shape (G, n).
        scores: Predicted scores in the same order, finite, shape (G, n, K).
    """
    mos, scores = mos.astype(np.float64), scores.astype(np.float64)
    groups, size, columns = scores.shape
    if size > _SORTED:
        parts = [_by_sorting(*group) for group in zip(mos, scores, strict=True)]
    else:
        step = max(1, _SIGNS_AT_ONCE // max(1, size * size * columns))
        parts = [_by_signs(mos[at : at + step], scores[at : at + step]) for at in range(0, groups, step)]
    srocc, krocc = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Coefficients(srocc, _pearson(mos, scores), krocc)


def _by_signs(mos: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return Spearman's and Kendall's coefficients, shape (G, K) both, from all pairs."""
    groups, _, columns = scores.shape
    rank_mos, rank = np.zeros_like(mos), np.zeros_like(scores)
    agreement, pairs_mos, pairs = np.zeros((groups, columns)), np.zeros((groups, 1)), np.zeros((groups, columns))
    for rows, up_mos, up in _signs(mos, scores):
        # A sum of signs is twice a mid-rank, up to a constant.
        rank_mos[:, rows], rank[:, rows] = up_mos.sum(2), up.sum(3).transpose(0, 2, 1)
        flat_mos, flat = up_mos.reshape(groups, -1, 1), up.reshape(groups, columns, -1)
        agreement += (flat @ flat_mos)[..., 0]
        pairs_mos[:, 0] += np.count_nonzero(flat_mos, axis=(1, 2))
        pairs += np.count_nonzero(flat, axis=2)
    return _spearman(rank_mos, rank), ratio(agreement, pairs_mos * pairs)


def _signs(mos: Floats, scores: Floats) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield how a block of rows compares with all rows of its group, 1, 0 or -1, in bounded memory.

    Shapes (G, b, n) and (G, K, b, n).
    """
    block = max(1, _SIGNS_AT_ONCE // max(1, scores.size))
    scores = np.ascontiguousarray(scores.transpose(0, 2, 1))
    for start in range(0, mos.shape[1], block):
        rows = slice(start, start + block)
        yield rows, compared(mos[:, rows, None], mos[:, None]), compared(scores[..., rows, None], scores[..., None, :])


def _by_sorting(mos: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return the result of `_by_signs`, to the bit, for one large group, in n log n time."""
    from scipy.stats import kendalltau  # slow to import, and such groups are rare

    rank_mos, pairs_mos = _ranked(mos)
    ranked = [_ranked(column) for column in scores.T]
    rank, pairs = np.stack([own[0] for own in ranked], axis=1), np.array([own[1] for own in ranked])
    tau = np.array([kendalltau(mos, column, method="asymptotic")[0] for column in scores.T], dtype=np.float64)
    # scipy returns a quotient, whose numerator is a whole number; it is computed back here.
    agreement = np.round(np.nan_to_num(tau) * np.sqrt(pairs_mos) * np.sqrt(pairs))
    return _spearman(rank_mos[None], rank[None]), ratio(agreement, pairs_mos * pairs)[None]


def _ranked(values: Floats) -> tuple[Floats, float]:
    """Return twice each mid-rank, up to a constant, and the number of ordered pairs that differ."""
    ordered = np.sort(values)
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    ranks: Floats = (below + upto - len(values)).astype(np.float64)
    return ranks, float(len(values) ** 2 - (upto - below).sum())


def _spearman(rank_mos: Floats, rank: Floats) -> Floats:
    """Return Spearman's coefficient, shape (G, K), of ranks of shapes (G, n) and (G, n, K) with sum 0."""
    return ratio((rank_mos[:, None] @ rank)[:, 0], (rank_mos**2).sum(1, keepdims=True) * (rank**2).sum(1))


def compared(one: Floats, other: Floats) -> Floats:
    """Return 1 where `one` is larger, -1 where it is smaller and 0 where they are equal, broadcast."""
    with np.errstate(over="ignore"):  # between large values a difference is infinite, and its sign right
        sign: Floats = np.sign(one - other)
    return sign


def near_one(values: Floats, axis: int = 0) -> Floats:
    """Return each column times the power of two that brings its largest absolute value into [0.5, 1); zeros stay.

    Only values that are tiny compared with the largest are rounded.

    Args:
        values: Any finite numbers.
        axis: Axis along which a column goes.
    """
    exponent = np.frexp(np.abs(values).max(axis, initial=0, keepdims=True))[1]
    scaled: Floats = np.ldexp(values, -exponent)
    return scaled


def _pearson(mos: Floats, scores: Floats) -> Floats:
    if not mos.shape[1]:
        return np.full((len(scores), scores.shape[2]), np.nan)
    mos, scores = near_one(mos, 1), near_one(scores, 1)
    # Subtract the first row: equal values become exact zeros, so that a constant column is recognised.
    mos, scores = mos - mos[:, :1], scores - scores[:, :1]
    x, y = mos - mos.mean(1, keepdims=True), scores - scores.mean(1, keepdims=True)
    squares = (x[:, None] @ x[..., None])[:, 0] * (y * y).sum(1)
    return ratio((x[:, None] @ y)[:, 0], squares).clip(-1, 1)


def ratio(numerator: Floats, squares: Floats, defined: NDArray[np.bool_] | None = None) -> Floats:
    """Return numerator / sqrt(squares), NaN for 0 / 0 or where it is not `defined`."""
    result = np.full(numerator.shape, np.nan)
    where = squares > 0 if defined is None else (squares > 0) & defined
    np.divide(numerator, np.sqrt(np.maximum(squares, 0)), out=result, where=where)
    return result
