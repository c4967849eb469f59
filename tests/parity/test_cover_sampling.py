"""The authors' samplers of COVER, DOVER and FAST-VQA, draw by draw, and how our own rules put them together."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch

from cvqa_models.video.frame_rules import FrameTimes, OfficialUniformClips, official_segments
from cvqa_models.video.patches import OfficialFragments
from cvqa_models.video.spliced import Spliced
from tests.parity.fill import clip
from tests.parity.summary import reference

RECORDED = reference("cover_sampling")
SETTING = "fsize_t,fragments_t,interval,num_clips"
SINGLE = [case for case in RECORDED["temporal"] if SETTING in case]
JOINT = [case for case in RECORDED["temporal"] if SETTING not in case]


def frame_times(frames: int) -> FrameTimes:
    return FrameTimes(frames, 25.0, tuple(index / 25 for index in range(frames)))


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: f"{case['name']} {case['num_frames']}")
def test_segments(case) -> None:
    length, segments, stride, clips = case[SETTING]
    randint = np.random.RandomState(42).randint
    draws = [official_segments(case["num_frames"], segments, length, stride, randint) for _ in range(clips)]
    assert np.concatenate(draws).reshape(-1).tolist() == case["indices"]


@pytest.mark.parametrize("case", JOINT, ids=lambda case: str(case["num_frames"]))
def test_three_branches_draw_from_one_stream(case) -> None:
    """A joint draw lets frames hang on which branches came before, so each of our branches has a seed of its own."""
    randint = np.random.RandomState(42).randint
    for name, length in (("semantic", 1), ("technical", 2), ("aesthetic", 2)):
        indices = official_segments(case["num_frames"], 20, length, 2, randint)
        assert indices.reshape(-1).tolist() == case["indices"][name]


@pytest.mark.parametrize("frames", [1, 10, 19, 45, 59, 240, 300])
def test_our_rule_is_theirs_with_a_seed_per_length(frames: int) -> None:
    rule = Spliced(OfficialUniformClips(20, 2, 2, seed=3))
    theirs = official_segments(frames, 20, 2, 2, np.random.RandomState(frames + 3).randint)
    assert rule.indices(frame_times(frames)).tolist() == [theirs.reshape(-1).tolist()]


def test_the_views_of_cover_draw_apart_and_their_keys_tell() -> None:
    rules = [
        OfficialUniformClips(20, 1, 2),
        Spliced(OfficialUniformClips(20, 2, 2, seed=1)),
        Spliced(OfficialUniformClips(20, 2, 2, seed=2)),
    ]
    begins = [rule.indices(frame_times(243), None).reshape(20, -1)[:, 0] for rule in rules]
    places = [begin - 12 * np.arange(20) for begin in begins]  # in segments of 243 // 20 frames
    for one, other in combinations(places, 2):
        assert (one != other).sum() > 10
    assert [rule.key for rule in rules] == [
        "clip20x1s2-official",
        "clip20x2s2-official-seed1-spliced",
        "clip20x2s2-official-seed2-spliced",
    ]


def test_training_draws_anew() -> None:
    rng = np.random.default_rng(0)
    frames = OfficialUniformClips(20, 2, 2, random=True)
    assert (frames.indices(frame_times(243), rng) != frames.indices(frame_times(243), rng)).any()
    assert (frames.indices(frame_times(243), None) == frames.indices(frame_times(243), None)).all()
    pixels = OfficialFragments(random=True)
    assert (pixels.draw(540, 960, 1, rng)[0] != pixels.draw(540, 960, 1, rng)[0]).any()
    assert (pixels.draw(540, 960, 1, None)[0] == pixels.draw(540, 960, 1, None)[0]).all()


def test_a_second_draw_differs_where_there_is_room() -> None:
    randint = np.random.RandomState(42).randint
    assert (official_segments(300, 20, 2, 2, randint) != official_segments(300, 20, 2, 2, randint)).any()


def test_places_of_fragments() -> None:
    """Cells of 77 rows leave room for 45 places; the draw of the rows comes first."""
    rows = OfficialFragments().draw(7 * 77, 7 * 77, 1, None)[0][0] - 77 * np.arange(7)[:, None]
    assert [rows.flatten().tolist()] == list(RECORDED["randint_example"].values())


@pytest.mark.parametrize("case", RECORDED["fragments"], ids=lambda case: f"{case['input']} {case['aligned']}")
def test_fragments(case) -> None:
    """Fragments stay in place over `aligned` frames: these are our clips, whose places are one draw."""
    size = [int(number) for number in case["input"].split("[")[1].split("]")[0].split(",")]
    frames = (clip(size, 7) * 256).to(torch.uint8)
    rule = OfficialFragments()
    places = rule.draw(*size[2:], size[1] // case["aligned"], None)
    pixels = frames.permute(1, 2, 3, 0).numpy()
    spliced = np.stack([rule.cut(frame, places[index // case["aligned"]]) for index, frame in enumerate(pixels)])
    view = np.ascontiguousarray(spliced.transpose(3, 0, 1, 2))
    assert hashlib.sha256(view.tobytes()).hexdigest() == case["sha256_uint8"]
