"""The next questions of a test: what they hold, and that they are worth more than others."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from cvqa_models.corpus.labels.adaptive import next_questions, worth
from cvqa_models.corpus.labels.bradley_terry import ANSWERS, fit_posterior, information, log_probabilities
from cvqa_models.corpus.labels.votes import pair_list, simulate_votes


def videos(count: int = 8, groups: tuple[str, ...] = ("g", "h"), seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = [(f"{group}{number}", group) for group in groups for number in range(count)]
    table = pd.DataFrame(names, columns=["video_id", "group"])
    return table.assign(truth=rng.normal(0, 2, len(table)))


NONE = pd.DataFrame({name: pd.Series(dtype=str) for name in ("group", "left", "right", "answer")})


def test_a_batch_has_a_pair_less_than_videos_and_none_twice() -> None:
    table = videos()
    votes = simulate_votes(table, pair_list(table, share=0.0), votes_per_pair=2)
    for given in (NONE, votes):
        asked = next_questions(table, given)
        assert list(asked.columns) == ["group", "left", "right", "expected"]
        assert (asked["expected"] == "").all()
        for group, rows in asked.groupby("group"):
            pairs = {frozenset(pair) for pair in zip(rows["left"], rows["right"], strict=True)}
            assert len(pairs) == len(rows) == 7
            assert {name for pair in pairs for name in pair} <= set(table.loc[table["group"] == group, "video_id"])
    assert len(next_questions(videos(2, ("g",)), NONE)) == 1
    assert next_questions(videos(1, ("g",)), NONE).empty


def test_the_same_votes_give_the_same_questions_and_the_seed_turns_sides() -> None:
    table = videos()
    votes = simulate_votes(table, pair_list(table, share=0.3), votes_per_pair=2)
    first, again, other = (next_questions(table, votes, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    pairs = [{frozenset(pair) for pair in zip(asked["left"], asked["right"], strict=True)} for asked in (first, other)]
    assert pairs[0] == pairs[1]  # worth decides, not chance
    assert not first.equals(other)


def test_worth_is_the_weighed_reduction_of_all_variances() -> None:
    rng = np.random.default_rng(0)
    root, score = rng.normal(size=(5, 5)), rng.normal(size=5)
    covariance = root @ root.T / 3
    pairs = list(itertools.combinations(range(5), 2))
    told = information(np.array([score[a] - score[b] for a, b in pairs]), 0.6)
    found = worth(score, covariance, told)
    for (a, b), own, value in zip(pairs, told, found, strict=True):
        row = np.zeros(5)
        row[a], row[b] = 1, -1
        after = np.linalg.inv(np.linalg.inv(covariance) + own * np.outer(row, row))
        expected = 0.0
        for c, d in pairs:
            other = np.zeros(5)
            other[c], other[d] = 1, -1
            variance = other @ covariance @ other
            density = np.exp(-((score[c] - score[d]) ** 2) / (2 * variance)) / np.sqrt(variance)
            expected += density * (variance - other @ after @ other)
        assert value == pytest.approx(expected, rel=1e-9)


def test_information_is_the_curvature_of_the_likelihood() -> None:
    step = 1e-4
    for difference in (-3.0, 0.0, 0.4):
        places = np.array([difference - step, difference, difference + step])
        log_p = log_probabilities(places, np.log([0.7]))
        curvature = -(log_p[0] - 2 * log_p[1] + log_p[2]) / step**2
        assert information(places[1:2], 0.7)[0] == pytest.approx(np.exp(log_p[1]) @ curvature, rel=1e-4)
    assert information(np.zeros(1), 0.0)[0] == pytest.approx(0.25)


def test_what_is_known_is_worth_less_than_what_is_not() -> None:
    left, right = np.array([0, 1]), np.array([1, 2])
    counts = np.array([[30.0, 30, 5], [1, 0, 0]])
    posterior = fit_posterior(left, right, counts, 3, ridge=0.1)
    (first, _, last) = worth(posterior.score, posterior.covariance, np.full(3, 0.2))
    assert first < last


def test_votes_that_do_not_count_change_nothing() -> None:
    table = videos()
    votes = simulate_votes(table, pair_list(table, share=0.3), votes_per_pair=1)
    odd = pd.DataFrame({"group": "g", "left": ["g0", "g1"], "right": ["g0", "g2"], "answer": ["left", "A"]})
    pd.testing.assert_frame_equal(next_questions(table, votes), next_questions(table, pd.concat([votes, odd])))


def test_the_order_is_better_than_by_as_many_votes_on_fixed_pairs() -> None:
    wrong = {"fixed": 0.0, "adaptive": 0.0}
    for seed in range(5):
        table = videos(10, ("g",), seed=seed)
        votes = simulate_votes(table, pair_list(table, share=0.0, seed=seed), votes_per_pair=1, seed=seed)
        for batch in range(20):
            asked = next_questions(table, votes, seed=100 * seed + batch)
            votes = pd.concat([votes, simulate_votes(table, asked, votes_per_pair=1, seed=100 * seed + batch)])
        every = simulate_votes(table, pair_list(table, seed=seed), votes_per_pair=5, seed=seed)
        wrong["adaptive"] += misordered(table, votes)
        wrong["fixed"] += misordered(table, every[: len(votes)])
    assert wrong["adaptive"] < wrong["fixed"]


def misordered(table: pd.DataFrame, votes: pd.DataFrame) -> float:
    index = {name: number for number, name in enumerate(table["video_id"])}
    left, right = (votes[side].map(index).to_numpy() for side in ("left", "right"))
    counts = np.stack([votes["answer"] == answer for answer in ANSWERS], axis=1).astype(float)
    fitted = fit_posterior(left, right, counts, len(table), ridge=1e-3).score
    truth = table["truth"].to_numpy()
    return float((np.sign(np.subtract.outer(fitted, fitted)) != np.sign(np.subtract.outer(truth, truth))).mean())
