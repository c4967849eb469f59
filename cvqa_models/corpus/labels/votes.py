"""Pair tests: the list of questions, simulated viewers, and the screening of careless ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from scipy.special import softmax

from cvqa_models.corpus.labels.bradley_terry import ANSWERS

QUESTION_COLUMNS = ["group", "left", "right", "expected"]
VOTE_COLUMNS = ["participant", *QUESTION_COLUMNS, "answer"]
_OBVIOUS = 4  # the better video has so many times the rate, by the same encoder


def pair_list(videos: pd.DataFrame, *, share: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Return the questions of a pair test, only inside groups, with random sides and order.

    Args:
        videos: Columns `video_id` and `group`.
        share: Share of all pairs to ask. A ring through each group is always asked, so that all videos are linked.
        seed: Seed of the draw.

    Returns:
        Columns `group`, `left`, `right`, `expected`; the last is empty, because these questions have no right answer.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str, str]] = []
    for group, members in videos.groupby("group", sort=False):
        names = rng.permutation(members["video_id"].to_numpy())
        for a, b in itertools.combinations(range(len(names)), 2):
            linked = b - a == 1 or (a == 0 and b == len(names) - 1)
            if linked or rng.random() < share:
                left, right = (a, b) if rng.random() < 0.5 else (b, a)
                rows.append((str(group), names[left], names[right], ""))
    return pd.DataFrame(rows, columns=QUESTION_COLUMNS).sample(frac=1, random_state=seed).reset_index(drop=True)


def verification_questions(videos: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return questions with a known answer: the highest against the lowest rate of one codec in one group.

    Args:
        videos: Columns `video_id`, `group`, `codec`, `bitrate_kbps`.
        seed: Seed of the draw of sides.

    Returns:
        Columns as in `pair_list`, with `left` or `right` as `expected`. Only ladders whose rates span a factor of 4
        give a question; videos of unknown codec or bitrate are ignored.

    Raises:
        ValueError: If a column is missing.
    """
    missing = {"video_id", "group", "codec", "bitrate_kbps"} - set(videos.columns)
    if missing:
        raise ValueError(f"The table of videos lacks {sorted(missing)}, which verification questions are made from.")
    rng = np.random.default_rng(seed)
    rows = []
    known = videos[(videos["codec"] != "") & (videos["bitrate_kbps"] > 0)]
    for (group, _), ladder in known.groupby(["group", "codec"], sort=False):
        ordered = ladder.sort_values("bitrate_kbps")
        worst, best = ordered.iloc[0], ordered.iloc[-1]
        if best["bitrate_kbps"] >= _OBVIOUS * worst["bitrate_kbps"]:
            sides = [best["video_id"], worst["video_id"]]
            flip = int(rng.integers(2))
            rows.append((group, sides[flip], sides[1 - flip], ANSWERS[flip]))
    return pd.DataFrame(rows, columns=QUESTION_COLUMNS)


def simulate_votes(
    videos: pd.DataFrame,
    questions: pd.DataFrame | None = None,
    *,
    votes_per_pair: int = 10,
    tie: float = 0.5,
    careless: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the answers of simulated viewers under Davidson's model of pair choice with ties.

    Verification questions have an obvious answer; all viewers except careless ones give it.

    Args:
        videos: Columns `video_id`, `group`, and `truth`: the quality that viewers perceive, in logits.
        questions: Questions as from `pair_list`; None asks all pairs.
        votes_per_pair: Number of viewers; each answers every question once.
        tie: Davidson's tie parameter; 0 for no ties.
        careless: Share of viewers who answer at random.
        seed: Seed of the answers.

    Returns:
        Columns `participant`, `group`, `left`, `right`, `expected`, `answer`.

    Raises:
        ValueError: If a question names a video that is not in the table.
    """
    questions = pair_list(videos, seed=seed) if questions is None else questions
    truth = videos.set_index("video_id")["truth"]
    unknown = sorted((set(questions["left"]) | set(questions["right"])) - set(truth.index))
    if unknown:
        raise ValueError(f"{len(unknown)} questions' videos are not in the table (first: '{unknown[0]}'); add them.")
    rng = np.random.default_rng(seed)
    half = (truth[questions["left"]].to_numpy() - truth[questions["right"]].to_numpy()) / 2
    chance = softmax(np.stack([half, -half, np.full_like(half, math.log(tie) if tie else -math.inf)], axis=1), axis=1)
    obvious = np.stack([questions["expected"] == answer for answer in ANSWERS], axis=1)
    chance = np.where(obvious.any(1, keepdims=True), obvious, chance)
    num_careless = math.ceil(careless * votes_per_pair - 1e-9)
    viewer = np.repeat(np.arange(votes_per_pair), len(questions))
    own = np.where(viewer[:, None] < num_careless, 1 / 3, np.tile(chance, (votes_per_pair, 1)))
    draw = (rng.random(len(own))[:, None] > own.cumsum(1)[:, :2]).sum(1)
    votes = pd.concat([questions] * votes_per_pair, ignore_index=True)
    names = np.array([f"viewer-{number:03d}" for number in range(votes_per_pair)], dtype=object)
    return votes.assign(participant=names[viewer], answer=np.array(ANSWERS, dtype=object)[draw])[VOTE_COLUMNS]


def screen_votes(votes: pd.DataFrame, *, most_wrong: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the votes of attentive viewers without the verification questions, and a table of all viewers.

    Args:
        votes: Columns as from `simulate_votes`; `expected` is empty except for verification questions.
        most_wrong: Largest number of wrong verification answers with which a viewer passes.

    Returns:
        The kept votes, and `participant`, `asked`, `wrong`, `kept` per viewer.

    Raises:
        ValueError: If a column is missing, or no vote has an `expected` answer.
    """
    missing = {"participant", "answer", "expected"} - set(votes.columns)
    if missing:
        raise ValueError(f"The votes lack the columns {sorted(missing)}, which screening needs.")
    expected = votes["expected"].fillna("")
    checks = votes[expected != ""]
    if checks.empty:
        raise ValueError("No vote has an `expected` answer, so nobody can be screened; skip this step.")
    wrong = (checks["answer"] != checks["expected"]).groupby(checks["participant"])
    viewers = pd.DataFrame({"asked": wrong.size(), "wrong": wrong.sum()}).reindex(
        pd.unique(votes["participant"]), fill_value=0
    )
    viewers["kept"] = viewers["wrong"] <= most_wrong
    kept = votes["participant"].map(viewers["kept"]) & (expected == "")
    return votes[kept].reset_index(drop=True), viewers.rename_axis("participant").reset_index()


def known_votes(votes: pd.DataFrame, video_ids: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the votes whose two videos are known, and the sorted names of unknown videos."""
    named = votes["left"].isin(video_ids) & votes["right"].isin(video_ids)
    unknown = (set(votes["left"]) | set(votes["right"])) - video_ids
    return votes[named].reset_index(drop=True), sorted(map(str, unknown))
