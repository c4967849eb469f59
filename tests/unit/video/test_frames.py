"""Frame rules: integers by hand, and the published samplers' own indices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cvqa_models.video.frames import (
    Chunks,
    ClipsOverTime,
    FrameRule,
    KeyFrames,
    Timeline,
    UniformClips,
    official_segments,
)

REFERENCE = Path(__file__).resolve().parents[2] / "parity"

RULES: list[FrameRule] = [
    KeyFrames(8),
    KeyFrames(8, "official"),
    Chunks(8, 32),
    Chunks(8, 5, fps=5),
    Chunks(8, 32, sampling="official"),
    UniformClips(4, 32, 2),
    UniformClips(4, 32, 2, random=True),
    UniformClips(4, 32, 2, sampling="official"),
]


def timeline(frames: int, fps: float = 25.0) -> Timeline:
    return Timeline(frames, fps, tuple(i / fps for i in range(frames)))


def reference(name: str) -> Any:
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
@pytest.mark.parametrize("frames", [1, 2, 24, 26, 300, 1801])
def test_every_rule_keeps_its_shape_and_range_and_repeats_itself(rule: FrameRule, frames: int) -> None:
    indices = rule.indices(timeline(frames), None)
    assert indices.shape == (rule.num_clips, rule.clip_length)
    assert indices.dtype == np.int64
    assert 0 <= indices.min() <= indices.max() < frames
    np.testing.assert_array_equal(indices, rule.indices(timeline(frames), None))


def test_keys_are_unique() -> None:
    assert len({rule.key for rule in RULES}) == len(RULES)


def test_key_frames_begin_their_second_at_broken_rates() -> None:
    video = timeline(300, 30000 / 1001)
    chosen = KeyFrames(10).indices(video)[:, 0]
    for second, index in enumerate(chosen):
        assert video.times[index] >= second - 1e-3
        assert index == 0 or video.times[index - 1] < second


def test_key_frames_of_variable_rate_go_by_time() -> None:
    times = (0.0, 0.1, 0.2, 1.5, 1.6, 2.0)
    assert KeyFrames(3).indices(Timeline(6, 2.5, times))[:, 0].tolist() == [0, 3, 5]


def test_a_short_video_repeats_its_seconds_in_order() -> None:
    assert KeyFrames(4).indices(timeline(50))[:, 0].tolist() == [0, 0, 25, 25]
    assert KeyFrames(4, "official").indices(timeline(50))[:, 0].tolist() == [0, 25, 25, 25]


def test_key_frames_of_a_long_video_reach_its_end() -> None:
    assert KeyFrames(8).indices(timeline(60 * 25))[:, 0].tolist()[-1] == 59 * 25
    assert KeyFrames(8, "official").indices(timeline(60 * 25))[:, 0].tolist() == [k * 25 for k in range(8)]


def test_chunks_at_a_rate_go_by_time() -> None:
    assert Chunks(2, 5, fps=5).indices(timeline(50)).tolist() == [[0, 5, 10, 15, 20], [25, 30, 35, 40, 45]]


def test_uniform_clips_stand_in_the_middle_of_their_parts() -> None:
    assert UniformClips(2, 3, 2).indices(timeline(30)).tolist() == [[5, 7, 9], [20, 22, 24]]


def test_random_clips_stay_in_their_parts_and_only_move_in_training() -> None:
    rule, rng = UniformClips(4, 2, 3, random=True), np.random.default_rng(0)
    draws = np.stack([rule.indices(timeline(100), rng) for _ in range(200)])
    assert ((draws // 25) == np.arange(4)[:, None]).all()
    assert len(np.unique(draws[:, 0, 0])) > 15
    still = UniformClips(4, 2, 3)
    np.testing.assert_array_equal(still.indices(timeline(100), rng), rule.indices(timeline(100), None))


def test_slowfast_chunks_are_the_published_ones() -> None:
    for name, golden in reference("rqvqa_sampling")["slowfast_chunks"].items():
        frames, fps = map(int, name.split("@"))
        chunks = Chunks(10, 32, sampling="official").indices(timeline(frames, fps))
        assert chunks[[0, 1, -1]][:, [0, -1]].tolist() == golden["first_last"]
        assert len(set(chunks[-1].tolist())) == golden["last_clip_real_frames"]


def test_fastvqa_segments_are_the_published_ones() -> None:
    for frames, golden in reference("rqvqa_sampling")["fastvqa_frames"].items():
        clips = official_segments(int(frames), 4, 32, 2, np.random.RandomState(0).randint)
        assert clips[:, 0].tolist() == golden["starts_seed0"]
        assert clips[:, -1].tolist() == golden["ends_seed0"]
        if golden["deterministic"]:
            official = UniformClips(4, 32, 2, sampling="official").indices(timeline(int(frames)))
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
    timeline = Timeline(frames, fps, tuple(i / fps for i in range(frames)))
    for count in (1, 2, 6, 20):
        ours, theirs = (rule(count, 2).indices(timeline, None) for rule in (ClipsOverTime, UniformClips))
        assert np.abs(ours - theirs).max() <= (0 if frames > 2 * count else 1)


def test_clips_over_time_follow_a_variable_rate() -> None:
    times = (*(i / 25 for i in range(100)), *(4 + i / 5 for i in range(40)))
    timeline = Timeline(140, 140 / 12, times)
    assert timeline.duration == pytest.approx(12)
    starts = ClipsOverTime(24, 2).indices(timeline)[:, 0]
    for k, start in enumerate(starts):  # the clip's middle lies in its half second
        assert k / 2 <= times[start + 1] <= k / 2 + 0.5 + 1e-9


def test_a_frame_that_stands_for_long_adds_a_second_at_most() -> None:
    assert Timeline(3, 0.1, (0.0, 1.0, 20.0)).duration == 21
    assert Timeline(1, 0.0, (0.0,)).duration == pytest.approx(0.04)
