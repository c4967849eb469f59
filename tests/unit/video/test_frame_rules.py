"""Frame rules: integers by hand, and the published samplers' own indices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvqa_models.video.frame_rules import (
    Chunks,
    ClipsOverTime,
    FrameRule,
    FrameTimes,
    KeyFrames,
    OfficialChunks,
    OfficialKeyFrames,
    OfficialUniformClips,
    UniformClips,
    official_segments,
)

REFERENCE = Path(__file__).resolve().parents[2] / "parity"

RULES: list[FrameRule] = [
    KeyFrames(8),
    OfficialKeyFrames(8),
    Chunks(8, 32),
    Chunks(8, 5, fps=5),
    OfficialChunks(8, 32),
    UniformClips(4, 32, 2),
    UniformClips(4, 32, 2, random=True),
    OfficialUniformClips(4, 32, 2),
]


def frame_times(frames: int, fps: float = 25.0) -> FrameTimes:
    return FrameTimes(frames, fps, tuple(i / fps for i in range(frames)))


def reference(name: str) -> Any:
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
@pytest.mark.parametrize("frames", [1, 2, 24, 26, 300, 1801])
def test_every_rule_keeps_its_shape_and_range_and_repeats_itself(rule: FrameRule, frames: int) -> None:
    indices = rule.indices(frame_times(frames), None)
    assert indices.shape == (rule.num_clips, rule.clip_length)
    assert indices.dtype == np.int64
    assert 0 <= indices.min() <= indices.max() < frames
    np.testing.assert_array_equal(indices, rule.indices(frame_times(frames), None))


def test_keys_are_unique() -> None:
    assert len({rule.key for rule in RULES}) == len(RULES)


def test_key_frames_begin_their_second_at_broken_rates() -> None:
    video = frame_times(300, 30000 / 1001)
    chosen = KeyFrames(10).indices(video)[:, 0]
    for second, index in enumerate(chosen):
        assert video.times[index] >= second - 1e-3
        assert index == 0 or video.times[index - 1] < second


def test_key_frames_of_variable_rate_go_by_time() -> None:
    times = (0.0, 0.1, 0.2, 1.5, 1.6, 2.0)
    assert KeyFrames(3).indices(FrameTimes(6, 2.5, times))[:, 0].tolist() == [0, 3, 5]


def test_a_short_video_repeats_its_seconds_in_order() -> None:
    assert KeyFrames(4).indices(frame_times(50))[:, 0].tolist() == [0, 0, 25, 25]
    assert OfficialKeyFrames(4).indices(frame_times(50))[:, 0].tolist() == [0, 25, 25, 25]


def test_key_frames_of_a_long_video_reach_its_end() -> None:
    assert KeyFrames(8).indices(frame_times(60 * 25))[:, 0].tolist()[-1] == 59 * 25
    assert OfficialKeyFrames(8).indices(frame_times(60 * 25))[:, 0].tolist() == [k * 25 for k in range(8)]


def test_chunks_at_a_rate_go_by_time() -> None:
    assert Chunks(2, 5, fps=5).indices(frame_times(50)).tolist() == [[0, 5, 10, 15, 20], [25, 30, 35, 40, 45]]


def test_uniform_clips_stand_in_the_middle_of_their_parts() -> None:
    assert UniformClips(2, 3, 2).indices(frame_times(30)).tolist() == [[5, 7, 9], [20, 22, 24]]


def test_random_clips_stay_in_their_parts_and_only_move_in_training() -> None:
    rule, rng = UniformClips(4, 2, 3, random=True), np.random.default_rng(0)
    draws = np.stack([rule.indices(frame_times(100), rng) for _ in range(200)])
    assert ((draws // 25) == np.arange(4)[:, None]).all()
    assert len(np.unique(draws[:, 0, 0])) > 15
    still = UniformClips(4, 2, 3)
    np.testing.assert_array_equal(still.indices(frame_times(100), rng), rule.indices(frame_times(100), None))


def test_slowfast_chunks_are_the_published_ones() -> None:
    for name, golden in reference("rqvqa_sampling")["slowfast_chunks"].items():
        frames, fps = map(int, name.split("@"))
        chunks = OfficialChunks(10, 32).indices(frame_times(frames, fps))
        assert chunks[[0, 1, -1]][:, [0, -1]].tolist() == golden["first_last"]
        assert len(set(chunks[-1].tolist())) == golden["last_clip_real_frames"]


def test_fastvqa_segments_are_the_published_ones() -> None:
    for frames, golden in reference("rqvqa_sampling")["fastvqa_frames"].items():
        clips = official_segments(int(frames), 4, 32, 2, np.random.RandomState(0).randint)
        assert clips[:, 0].tolist() == golden["starts_seed0"]
        assert clips[:, -1].tolist() == golden["ends_seed0"]
        if golden["deterministic"]:
            official = OfficialUniformClips(4, 32, 2).indices(frame_times(int(frames)))
            np.testing.assert_array_equal(official, clips)


def test_cover_segments_are_the_published_ones() -> None:
    seen = 0
    for case in reference("cover_sampling")["temporal"]:
        if "fsize_t,fragments_t,interval,num_clips" in case:
            length, count, stride, _ = case["fsize_t,fragments_t,interval,num_clips"]
            randint = np.random.RandomState(42).randint
            clips = official_segments(case["num_frames"], count, length, stride, randint)
            assert clips.reshape(-1).tolist() == case["indices"]
            seen += 1
    assert seen == 61


@pytest.mark.parametrize(("frames", "fps"), [(40, 20.0), (301, 29.97), (7, 25.0), (1, 25.0), (120, 60.0)])
def test_clips_over_time_are_uniform_clips_at_a_constant_rate(frames: int, fps: float) -> None:
    frame_times = FrameTimes(frames, fps, tuple(i / fps for i in range(frames)))
    for count in (1, 2, 6, 20):
        ours, theirs = (rule(count, 2).indices(frame_times, None) for rule in (ClipsOverTime, UniformClips))
        assert np.abs(ours - theirs).max() <= (0 if frames > 2 * count else 1)


def test_clips_over_time_follow_a_variable_rate() -> None:
    times = (*(i / 25 for i in range(100)), *(4 + i / 5 for i in range(40)))
    frame_times = FrameTimes(140, 140 / 12, times)
    assert frame_times.duration == pytest.approx(12)
    starts = ClipsOverTime(24, 2).indices(frame_times)[:, 0]
    for k, start in enumerate(starts):  # the clip's middle lies in its half second
        assert k / 2 <= times[start + 1] <= k / 2 + 0.5 + 1e-9


def test_a_frame_that_stands_for_long_adds_a_second_at_most() -> None:
    assert FrameTimes(3, 0.1, (0.0, 1.0, 20.0)).duration == 21
    assert FrameTimes(1, 0.0, (0.0,)).duration == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: KeyFrames(0), "`num_clips` of KeyFrames is 0; expected at least 1"),
        (lambda: Chunks(1, 0), "`clip_length` of Chunks is 0; expected at least 1"),
        (lambda: Chunks(1, 5, fps=0.0), r"`fps` of Chunks is 0\.0; expected a rate above 0, or null"),
        (lambda: Chunks(1, 5, fps=float("nan")), "`fps` of Chunks is nan; expected a rate"),
        (lambda: OfficialUniformClips(1, 2, -1), "`stride` of OfficialUniformClips is -1; expected at least 1"),
    ],
)
def test_numbers_that_choose_no_frames_are_refused(make: Callable[[], FrameRule], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()
