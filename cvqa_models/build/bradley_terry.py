"""Bradley-Terry scores with ties (Davidson 1970) by maximum likelihood, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ANSWERS = ("left", "right", "equal")
_WIN_FEATURES = np.array([0.5, -0.5, 0.0])  # of the score difference, in log P(left), log P(right), log P(equal)


@dataclass(frozen=True)
class BradleyTerry:
    """A fit to one set of pair comparisons.

    Attributes:
        score: Scores in logits, minimum 0, shape (n,); P(i beats j | no tie) = sigmoid(score_i - score_j).
        standard_error: Standard errors of the scores about their common mean, shape (n,).
        tie: Davidson's tie parameter; 0 where no vote was a tie.
    """

    score: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    tie: float


def fit(left: NDArray, right: NDArray, counts: NDArray, num_items: int, ridge: float = 1e-3) -> BradleyTerry:
    """Return the maximum-likelihood scores of items compared in pairs.

    With utilities s_i, P(i beats j) : P(j beats i) : P(tie) = e^{s_i} : e^{s_j} : v e^{(s_i + s_j) / 2}.

    Args:
        left: Index of the left item of each pair, shape (k,).
        right: Index of the right item, shape (k,).
        counts: Votes for left, right and a tie, shape (k, 3).
        num_items: Number of items n.
        ridge: Weight of the squared scores, which keeps an item finite that always wins.

    Raises:
        ValueError: If some items are not linked to the others by any chain of comparisons.
    """
    _check(left, right, counts, num_items)
    with_ties = bool(counts[:, 2].sum())
    design = np.zeros((len(left), num_items))
    design[np.arange(len(left)), left] = 1
    design[np.arange(len(left)), right] -= 1

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        scores, log_tie = parameters[:num_items], parameters[num_items:]
        log_p = _log_probabilities(design @ scores, log_tie)
        excess = counts - counts.sum(1, keepdims=True) * np.exp(log_p)
        gradient = design.T @ (excess @ _WIN_FEATURES) - 2 * ridge * scores
        value = (counts * np.where(counts, log_p, 0)).sum() - ridge * scores @ scores
        return -value, -np.concatenate([gradient, excess[:, 2].sum(keepdims=True)[: len(log_tie)]])

    start = np.zeros(num_items + with_ties)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-8})
    scores, log_tie = found.x[:num_items], found.x[num_items:]
    error = _standard_errors(design, _log_probabilities(design @ scores, log_tie), counts, ridge, with_ties)
    return BradleyTerry(scores - scores.min(), error, float(np.exp(log_tie[0])) if with_ties else 0.0)


def fit_table(votes: pd.DataFrame, by: str = "group") -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the scores of every group of a table of votes, what was left out, and what is unsure, in sentences.

    Args:
        votes: Columns `left`, `right`, `answer` (left, right or equal) and the one named by `by`.
        by: Column of the sets inside which scores compare.

    Returns:
        Table with `by`, `video_id`, `score`, `standard_error`, `votes`; a group that cannot be fitted is left out.
        The first sentences name such groups and votes that were dropped; the second ones videos that won or lost every
        time, which only the ridge keeps finite.

    Raises:
        ValueError: If a column is missing or no answer is one of the three.
    """
    missing = {by, "left", "right", "answer"} - set(votes.columns)
    if missing:
        raise ValueError(f"The votes lack the columns {sorted(missing)}; they need {by}, left, right, answer.")
    strange = sorted(set(votes["answer"].unique()) - set(ANSWERS), key=str)
    understood = votes["answer"].isin(ANSWERS)
    left_out: list[str] = []
    unsure: list[str] = []
    if strange:
        said = f"the answers {strange[:3]}; each must be one of {', '.join(ANSWERS)}"
        if not understood.any():
            raise ValueError(f"The votes hold {said}.")
        left_out.append(f"{(~understood).sum()} votes are dropped, for they hold {said}.")
    with_itself = votes["left"] == votes["right"]
    if with_itself.any():
        first = votes.loc[with_itself, "left"].iloc[0]
        left_out.append(f"{with_itself.sum()} votes compare a video with itself and are dropped (first: '{first}').")
    votes = votes[understood & ~with_itself]
    tables: list[pd.DataFrame] = []
    for name, group in votes.groupby(by, sort=False):
        try:
            table, extremes = _fit_group(group)
        except ValueError as error:
            left_out.append(f"The group '{name}' is left out: {error}")
            continue
        unsure += [f"In the group '{name}' {sentence}" for sentence in extremes]
        tables.append(table.assign(**{by: name}))
    columns = [by, "video_id", "score", "standard_error", "votes"]
    fitted = pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
    return fitted, left_out, unsure


def _fit_group(votes: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    names = pd.unique(votes[["left", "right"]].to_numpy().ravel())
    index = {name: number for number, name in enumerate(names)}
    pairs = votes.groupby(["left", "right", "answer"], sort=False).size().unstack(fill_value=0)
    counts = pairs.reindex(columns=list(ANSWERS), fill_value=0).to_numpy(dtype=float)
    left, right = (np.array([index[name] for name in pairs.index.get_level_values(side)]) for side in (0, 1))
    model = fit(left, right, counts, len(names))
    wins = np.bincount(left, counts[:, 0], len(names)) + np.bincount(right, counts[:, 1], len(names))
    losses = np.bincount(left, counts[:, 1], len(names)) + np.bincount(right, counts[:, 0], len(names))
    total = np.bincount(left, counts.sum(1), len(names)) + np.bincount(right, counts.sum(1), len(names))
    extremes = [
        f"'{name}' {verb} all its {total[number]:.0f} comparisons; how far it is {place} the others is not known."
        for verb, place, times in (("won", "above", wins), ("lost", "below", losses))
        for number, name in enumerate(names)
        if times[number] == total[number]
    ]
    table = pd.DataFrame(
        {"video_id": names, "score": model.score, "standard_error": model.standard_error, "votes": total.astype(int)}
    )
    return table, extremes


def _check(left: NDArray, right: NDArray, counts: NDArray, num_items: int) -> None:
    if not (len(left) == len(right) == len(counts)) or counts.ndim != 2 or counts.shape[1] != 3:
        raise ValueError(f"`counts` has shape {counts.shape} for {len(left)} pairs; give ({len(left)}, 3).")
    if (left == right).any():
        raise ValueError("An item is compared with itself; remove that vote.")
    links = coo_array((np.ones(len(left)), (left, right)), shape=(num_items, num_items))
    parts, part = connected_components(links, directed=False)
    if parts > 1:
        raise ValueError(
            f"its comparisons fall into {parts} parts of {np.bincount(part).tolist()} videos that are never compared "
            "with each other; add votes across them."
        )


def _log_probabilities(difference: NDArray, log_tie: NDArray) -> NDArray:
    """Return log P of left, right and a tie, shape (k, 3)."""
    tie = np.full_like(difference, log_tie[0] if len(log_tie) else -np.inf)
    utility = np.stack([difference / 2, -difference / 2, tie], axis=1)
    return utility - np.logaddexp.reduce(utility, axis=1, keepdims=True)


def _standard_errors(design: NDArray, log_p: NDArray, counts: NDArray, ridge: float, with_ties: bool) -> NDArray:
    """Return the roots of the diagonal of the inverse information, in the space where the scores sum to 0."""
    p, n = np.exp(log_p), counts.sum(1)
    mean = p @ _WIN_FEATURES
    information = design.T @ ((n * (p @ _WIN_FEATURES**2 - mean**2))[:, None] * design)
    information += 2 * ridge * np.eye(len(information))
    if with_ties:
        cross = design.T @ (-n * mean * p[:, 2])
        own = (n * p[:, 2] * (1 - p[:, 2])).sum()
        information -= np.outer(cross, cross) / own
    size = len(information)
    centre = np.eye(size) - 1 / size
    return np.sqrt(np.diag(centre @ np.linalg.inv(information) @ centre))
