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
_WIN_FEATURES = np.array([0.5, -0.5, 0.0])  # factor of the score difference in log P(left), log P(right), log P(equal)


@dataclass(frozen=True)
class BradleyTerry:
    """A fit to one set of pair comparisons.

    Attributes:
        score: Scores in logits, minimum 0, shape (n,); P(i beats j | no tie) = sigmoid(score_i - score_j).
        standard_error: Standard errors of the scores relative to their common mean, shape (n,).
        tie: Davidson's tie parameter; 0 if no vote was a tie.
    """

    score: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    tie: float


@dataclass(frozen=True)
class Posterior:
    """The distribution of scores, given votes.

    Attributes:
        score: Most likely scores, in logits, around 0, shape (n,).
        covariance: Covariance of the scores at that point, shape (n, n).
        tie: Davidson's tie parameter; 0 if no vote was a tie.
    """

    score: NDArray[np.float64]
    covariance: NDArray[np.float64]
    tie: float


def fit(left: NDArray, right: NDArray, counts: NDArray, num_items: int, ridge: float = 1e-3) -> BradleyTerry:
    """Return the maximum-likelihood scores of items compared in pairs.

    With utilities s_i, P(i beats j) : P(j beats i) : P(tie) = e^{s_i} : e^{s_j} : v e^{(s_i + s_j) / 2}.

    Args:
        left: Index of the left item of each pair, shape (k,).
        right: Index of the right item, shape (k,).
        counts: Votes for left, right and a tie, shape (k, 3).
        num_items: Number of items n.
        ridge: Weight of the squared scores; it keeps the score of an item finite that always wins.

    Raises:
        ValueError: If no chain of comparisons links some items to the others.
    """
    _check(left, right, counts, num_items)
    posterior = fit_posterior(left, right, counts, num_items, ridge)
    centre = np.eye(num_items) - 1 / num_items
    error = np.sqrt(np.diag(centre @ posterior.covariance @ centre))
    return BradleyTerry(posterior.score - posterior.score.min(), error, posterior.tie)


def fit_posterior(left: NDArray, right: NDArray, counts: NDArray, num_items: int, ridge: float) -> Posterior:
    """Return the distribution of scores given votes: its mode and the inverse information there. Items may be unlinked.

    Args:
        left: Index of the left item of each pair, shape (k,).
        right: Index of the right item, shape (k,).
        counts: Votes for left, right and a tie, shape (k, 3).
        num_items: Number of items n.
        ridge: Weight of the squared scores: a normal prior of variance 1 / (2 ridge).
    """
    with_ties = bool(counts[:, 2].sum())
    design = np.zeros((len(left), num_items))
    design[np.arange(len(left)), left] = 1
    design[np.arange(len(left)), right] -= 1

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        scores, log_tie = parameters[:num_items], parameters[num_items:]
        log_p = log_probabilities(design @ scores, log_tie)
        excess = counts - counts.sum(1, keepdims=True) * np.exp(log_p)
        gradient = design.T @ (excess @ _WIN_FEATURES) - 2 * ridge * scores
        value = (counts * np.where(counts, log_p, 0)).sum() - ridge * scores @ scores
        return -value, -np.concatenate([gradient, excess[:, 2].sum(keepdims=True)[: len(log_tie)]])

    start = np.zeros(num_items + with_ties)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-8})
    scores, log_tie = found.x[:num_items], found.x[num_items:]
    information = _information(design, log_probabilities(design @ scores, log_tie), counts, ridge, with_ties)
    return Posterior(scores, np.linalg.inv(information), float(np.exp(log_tie[0])) if with_ties else 0.0)


def fit_table(votes: pd.DataFrame, by: str = "group") -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the scores of every group of a table of votes, and sentences about what was left out and what is unsure.

    Args:
        votes: Columns `left`, `right`, `answer` (left, right or equal) and the column named by `by`.
        by: Column of the sets inside which scores compare.

    Returns:
        Table with `by`, `video_id`, `score`, `standard_error`, `votes`, without groups that cannot be fitted. Then
        sentences about these groups and about dropped votes. Then sentences about videos that won or lost every time:
        only the ridge keeps their scores finite.

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


def log_probabilities(difference: NDArray, log_tie: NDArray) -> NDArray:
    """Return log P of left, right and a tie, shape (k, 3)."""
    tie = np.full_like(difference, log_tie[0] if len(log_tie) else -np.inf)
    utility = np.stack([difference / 2, -difference / 2, tie], axis=1)
    return utility - np.logaddexp.reduce(utility, axis=1, keepdims=True)


def information(difference: NDArray, tie: float) -> NDArray[np.float64]:
    """Return the Fisher information of one answer about the difference of two scores, shape (k,); at most 1/4.

    Args:
        difference: Differences in logits, shape (k,).
        tie: Davidson's tie parameter; 0 for no ties.
    """
    p = np.exp(log_probabilities(difference, np.log([tie]) if tie else np.zeros(0)))
    found: NDArray[np.float64] = p @ _WIN_FEATURES**2 - (p @ _WIN_FEATURES) ** 2
    return found


def _information(design: NDArray, log_p: NDArray, counts: NDArray, ridge: float, with_ties: bool) -> NDArray:
    """Return the information of the votes and the prior about the scores, with the tie parameter profiled out."""
    p, n = np.exp(log_p), counts.sum(1)
    mean = p @ _WIN_FEATURES
    information: NDArray = design.T @ ((n * (p @ _WIN_FEATURES**2 - mean**2))[:, None] * design)
    information += 2 * ridge * np.eye(len(information))
    if with_ties:
        cross = design.T @ (-n * mean * p[:, 2])
        own = (n * p[:, 2] * (1 - p[:, 2])).sum()
        information -= np.outer(cross, cross) / own
    return information
