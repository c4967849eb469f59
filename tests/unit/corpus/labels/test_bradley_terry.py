import itertools

import choix
import numpy as np
import pandas as pd
import pytest

from cvqa_models.corpus.labels.bradley_terry import fit, fit_table


def _pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    left, right = zip(*itertools.combinations(range(n), 2), strict=True)
    return np.array(left), np.array(right)


def _davidson(truth: np.ndarray, tie: float, votes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    left, right = _pairs(len(truth))
    weight = np.stack(
        [np.exp(truth[left]), np.exp(truth[right]), tie * np.exp((truth[left] + truth[right]) / 2)], axis=1
    )
    counts = np.array([rng.multinomial(votes, row / row.sum()) for row in weight], dtype=float)
    return left, right, counts


def test_tie_free_scores_agree_with_choix() -> None:
    truth = np.random.default_rng(0).normal(0, 1, 12)
    left, right, counts = _davidson(truth, 0.0, 20, seed=1)
    games = [
        game
        for a, b, (wins, losses, _) in zip(left, right, counts, strict=True)
        for game in [(a, b)] * int(wins) + [(b, a)] * int(losses)
    ]
    theirs = choix.opt_pairwise(12, games)
    ours = fit(left, right, counts, 12, ridge=1e-9)
    np.testing.assert_allclose(ours.score, theirs - theirs.min(), atol=1e-3)
    assert ours.tie == 0
    shrunk = fit(left, right, counts, 12)  # the default ridge moves nothing that matters
    np.testing.assert_allclose(shrunk.score, ours.score, atol=1e-3)


def test_recovers_the_truth_its_scale_and_the_tie_parameter() -> None:
    truth = np.random.default_rng(2).normal(0, 1.5, 40)
    model = fit(*_davidson(truth, 0.5, 200, seed=3), 40)
    assert model.score.min() == 0
    assert np.corrcoef(model.score, truth)[0, 1] > 0.998
    assert np.polyfit(truth, model.score, 1)[0] == pytest.approx(1, abs=0.03)
    assert model.tie == pytest.approx(0.5, abs=0.03)


def test_standard_errors_are_the_spread_over_repeated_tests() -> None:
    truth = np.linspace(-1.5, 1.5, 8)
    models = [fit(*_davidson(truth, 0.6, 30, seed), 8) for seed in range(150)]
    centred = np.array([model.score - model.score.mean() for model in models])
    stated = np.mean([model.standard_error for model in models], axis=0)
    np.testing.assert_allclose(centred.std(0), stated, rtol=0.25)


def test_an_item_that_always_wins_stays_finite() -> None:
    model = fit(np.array([0, 1]), np.array([1, 2]), np.array([[9.0, 0, 0], [5, 4, 0]]), 3)
    assert np.isfinite(model.score).all()
    assert model.score[0] > model.score[1] + 2


@pytest.mark.parametrize(
    ("left", "right", "counts", "message"),
    [
        ([0], [1], [[1.0, 2.0]], r"`counts` has shape \(1, 2\)"),
        ([0, 1], [1, 0], [[1.0, 2.0, 0.0]], "for 2 pairs"),
        ([1], [1], [[1.0, 2.0, 0.0]], "compared with itself"),
        ([0, 2], [1, 3], [[1.0, 2, 0], [1, 2, 0]], r"2 parts of \[2, 2\] videos"),
    ],
)
def test_refuses(left: list[int], right: list[int], counts: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(np.array(left), np.array(right), np.array(counts), 4 if 2 in left else 2)


def _votes(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["group", "left", "right", "answer"])


def test_table_is_fitted_group_by_group_and_the_good_rest_is_kept() -> None:
    good = [("g", "a", "b", "left")] * 3 + [("g", "b", "a", "left")] + [("g", "b", "c", "equal")] * 2
    split = [("h", "p", "q", "left"), ("h", "r", "s", "right")]
    champion = [("k", "x", "y", "left")] * 4
    scores, left_out, unsure = fit_table(_votes(good + split + champion))
    assert scores.groupby("group")["score"].min().to_dict() == {"g": 0, "k": 0}
    assert scores.set_index("video_id")["votes"].to_dict() == {"a": 4, "b": 6, "c": 2, "x": 4, "y": 4}
    assert len(left_out) == 1
    assert left_out[0].startswith("The group 'h' is left out: its comparisons fall into 2 parts")
    assert unsure == [
        "In the group 'k' 'x' won all its 4 comparisons; how far it is above the others is not known.",
        "In the group 'k' 'y' lost all its 4 comparisons; how far it is below the others is not known.",
    ]


def test_votes_that_say_nothing_are_dropped_and_counted() -> None:
    good = [("g", "a", "b", "left")] * 3 + [("g", "b", "a", "left")]
    scores, left_out, _ = fit_table(_votes([*good, ("g", "a", "a", "left"), ("g", "a", "b", "skipped")]))
    assert scores.equals(fit_table(_votes(good))[0])
    assert left_out == [
        "1 votes are dropped, for they hold the answers ['skipped']; each must be one of left, right, equal.",
        "1 votes compare a video with itself and are dropped (first: 'a').",
    ]


def test_table_must_have_its_columns_and_answers() -> None:
    with pytest.raises(ValueError, match=r"lack the columns \['answer'\]"):
        fit_table(_votes([("g", "a", "b", "left")]).drop(columns="answer"))
    with pytest.raises(ValueError, match=r"answers \['A'\]"):
        fit_table(_votes([("g", "a", "b", "A")]))
