"""Pearson, Spearman and Kendall of one group, for many columns of scores at once.

Ranks and pairs come from signs of differences, which are exact in floating point: a perfect order gives exactly 1
where library routines give 1 - 1e-16, and ties share their rank. Squares are taken of values near 1, so that scores may
be of any scale, 1e200 or 1e-200.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SIGNS_AT_ONCE = 4_000_000


class Coefficients(NamedTuple):
    """The three coefficients of each column, shape (K,); NaN where a column or `mos` is constant."""

    srocc: Floats
    plcc: Floats
    krocc: Floats


def coefficients(mos: Floats, scores: Floats) -> Coefficients:
    """Return all three coefficients of each column of `scores` with `mos`, in [-1, 1].

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
    mos, scores = mos.astype(np.float64), scores.astype(np.float64)
    num_columns = scores.shape[1]
    rank_mos, rank = np.zeros_like(mos), np.zeros_like(scores)
    agreement, pairs_mos, pairs = np.zeros(num_columns), 0.0, np.zeros(num_columns)
    for rows, up_mos, up in _signs(mos, scores):
        # A sum of signs is twice a mid-rank, up to a constant.
        rank_mos[rows], rank[rows] = up_mos.sum(1), up.sum(1)
        agreement += np.einsum("ij,ijk->k", up_mos, up)
        pairs_mos += np.abs(up_mos).sum()
        pairs += np.abs(up).sum((0, 1))
    return Coefficients(
        srocc=ratio(rank_mos @ rank, (rank_mos**2).sum() * (rank**2).sum(0)),
        plcc=_pearson(mos, scores),
        krocc=ratio(agreement, pairs_mos * pairs),
    )


def _signs(mos: Floats, scores: Floats) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield how a block of rows compares with all rows, 1, 0 or -1, shapes (b, n) and (b, n, K), in bounded memory."""
    block = max(1, _SIGNS_AT_ONCE // max(1, scores.size))
    for start in range(0, len(mos), block):
        rows = slice(start, start + block)
        yield rows, compared(mos[rows, None], mos), compared(scores[rows, None], scores)


def compared(one: Floats, other: Floats) -> Floats:
    """Return 1 where `one` is larger, -1 where it is smaller and 0 where they are equal, broadcast."""
    with np.errstate(over="ignore"):  # between large values a difference is infinite, and its sign right
        sign: Floats = np.sign(one - other)
    return sign


def near_one(values: Floats) -> Floats:
    """Return each column times the power of two that brings its largest absolute value into [0.5, 1); zeros stay.

    Nothing is rounded but what vanishes beside the largest.
    """
    exponent = np.frexp(np.abs(values).max(0, initial=0))[1]
    scaled: Floats = np.ldexp(values, -exponent)
    return scaled


def _pearson(mos: Floats, scores: Floats) -> Floats:
    if not len(mos):
        return np.full(scores.shape[1], np.nan)
    mos, scores = near_one(mos), near_one(scores)
    # Minus the first row: equal values become exact zeros, so that a constant column is seen as one.
    mos, scores = mos - mos[0], scores - scores[0]
    x, y = mos - mos.mean(), scores - scores.mean(0)
    return ratio(x @ y, (x @ x) * (y * y).sum(0)).clip(-1, 1)


def ratio(numerator: Floats, squares: Floats, defined: NDArray[np.bool_] | None = None) -> Floats:
    """Return numerator / sqrt(squares), NaN where that is 0 / 0 or not `defined`."""
    result = np.full(numerator.shape, np.nan)
    where = squares > 0 if defined is None else (squares > 0) & defined
    np.divide(numerator, np.sqrt(np.maximum(squares, 0)), out=result, where=where)
    return result
