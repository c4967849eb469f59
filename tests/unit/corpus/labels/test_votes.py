import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cvqa_models.corpus.labels.votes import known_votes, pair_list, screen_votes, simulate_votes, verification_questions

VIDEOS = pd.DataFrame(
    {
        "video_id": [f"{codec}{rate}-{group}" for group in "gh" for codec in "xy" for rate in (100, 200, 400)],
        "group": [group for group in "gh" for _ in range(6)],
        "codec": [codec for _ in "gh" for codec in "xy" for _ in range(3)],
        "bitrate_kbps": [100.0, 200.0, 400.0] * 4,
    }
)


def test_pairs_stay_inside_groups_and_are_asked_once() -> None:
    pairs = pair_list(VIDEOS)
    assert len(pairs) == 2 * 15
    group = VIDEOS.set_index("video_id")["group"]
    assert (group[pairs["left"]].to_numpy() == pairs["group"].to_numpy()).all()
    assert (group[pairs["right"]].to_numpy() == pairs["group"].to_numpy()).all()
    assert len({frozenset(pair) for pair in zip(pairs["left"], pairs["right"], strict=True)}) == 30


def test_a_share_of_zero_still_links_every_video() -> None:
    pairs = pair_list(VIDEOS, share=0)
    number = {name: index for index, name in enumerate(VIDEOS["video_id"])}
    left, right = pairs["left"].map(number), pairs["right"].map(number)
    parts, _ = connected_components(coo_array((np.ones(len(pairs)), (left, right)), shape=(12, 12)), directed=False)
    assert len(pairs) == 12
    assert parts == 2  # the two groups


def test_verification_pairs_the_ends_of_each_ladder() -> None:
    checks = verification_questions(VIDEOS)
    assert len(checks) == 4
    for row in checks.itertuples():
        better, worse = (row.left, row.right) if row.expected == "left" else (row.right, row.left)
        assert "400" in better
        assert "100" in worse
        assert better[0] == worse[0]
    with pytest.raises(ValueError, match=r"lacks \['codec'\]"):
        verification_questions(VIDEOS.drop(columns="codec"))


def test_verification_passes_over_videos_of_unknown_codec_or_bitrate() -> None:
    assert verification_questions(VIDEOS.assign(codec="")).empty
    assert verification_questions(VIDEOS.assign(bitrate_kbps=np.nan)).empty
    lost = VIDEOS["video_id"].eq("x200-g")
    partly = VIDEOS.assign(bitrate_kbps=VIDEOS["bitrate_kbps"].mask(lost))
    assert verification_questions(partly).equals(verification_questions(VIDEOS))


def test_simulated_answers_follow_davidson() -> None:
    two = pd.DataFrame({"video_id": ["a", "b"], "group": "g", "truth": [1.0, 0.0]})
    question = pd.DataFrame({"group": ["g"], "left": ["a"], "right": ["b"], "expected": [""]})
    votes = simulate_votes(two, question, votes_per_pair=4000, tie=0.5)
    weight = np.array([np.e, 1, 0.5 * np.sqrt(np.e)])
    share = votes["answer"].value_counts(normalize=True)[["left", "right", "equal"]]
    np.testing.assert_allclose(share, weight / weight.sum(), atol=0.025)
    assert simulate_votes(two, question, seed=5).equals(simulate_votes(two, question, seed=5))


def test_simulation_refuses_unknown_videos() -> None:
    question = pd.DataFrame({"group": ["g"], "left": ["a"], "right": ["z"], "expected": [""]})
    with pytest.raises(ValueError, match=r"1 questions' videos are not in the table .first: 'z'"):
        simulate_votes(pd.DataFrame({"video_id": ["a"], "group": "g", "truth": [1.0]}), question)


def test_screening_drops_careless_viewers_and_the_verification_questions() -> None:
    truth = VIDEOS.assign(truth=VIDEOS["bitrate_kbps"] / 1000)  # attentive viewers pass though most pairs look alike
    questions = pd.concat([pair_list(VIDEOS), verification_questions(VIDEOS)])
    votes = simulate_votes(truth, questions, votes_per_pair=10, careless=0.3, seed=1)
    kept, viewers = screen_votes(votes)
    assert viewers.loc[~viewers["kept"], "participant"].tolist() == ["viewer-000", "viewer-001", "viewer-002"]
    assert (viewers["asked"] == 4).all()
    assert len(kept) == 7 * 30
    assert (kept["expected"] == "").all()
    assert len(screen_votes(votes, most_wrong=4)[0]) == 10 * 30


def test_screening_needs_its_columns_and_a_question_with_an_answer() -> None:
    votes = simulate_votes(VIDEOS.assign(truth=0.0), votes_per_pair=1)
    with pytest.raises(ValueError, match=r"lack the columns \['participant'\]"):
        screen_votes(votes.drop(columns="participant"))
    with pytest.raises(ValueError, match="No vote has an `expected` answer"):
        screen_votes(votes)


def test_votes_on_unknown_videos_are_set_apart() -> None:
    votes = pd.DataFrame({"left": ["a", "a"], "right": ["b", "z"]})
    kept, unknown = known_votes(votes, {"a", "b"})
    assert kept["right"].tolist() == ["b"]
    assert unknown == ["z"]
