"""Dense frame rules: shapes, ranges, coverage and fixed counts, on timelines alone."""

from __future__ import annotations

import math
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from cvqa_models.video.dense import (
    MotionChunks,
    MotionSteps,
    OfficialEveryFrame,
    OfficialMotionChunks,
    OfficialMotionSteps,
    OfficialSeconds,
    SpreadFrames,
)
from cvqa_models.video.frame_rules import FrameTimes


def frame_times(frames: int) -> FrameTimes:
    return FrameTimes(frames, 30.0, tuple(i / 30 for i in range(frames)))


@pytest.mark.parametrize("frames", [1, 2, 7, 100, 300])
@pytest.mark.parametrize("count", [1, 2, 16])
def test_even_frames_have_a_fixed_count_and_reach_both_ends(frames: int, count: int) -> None:
    rule = SpreadFrames(count)
    indices = rule.indices(frame_times(frames), None)
    assert indices.shape == (rule.num_clips, rule.clip_length) == (count, 1)
    assert (np.diff(indices[:, 0]) >= 0).all()
    assert 0 <= indices.min() <= indices.max() < frames
    if count > 1:
        assert (indices[0, 0], indices[-1, 0]) == (0, frames - 1)


def test_official_frames_are_all_frames() -> None:
    assert OfficialEveryFrame().indices(frame_times(5), None).tolist() == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("frames", [1, 20, 64, 65, 300])
def test_even_chunks_have_a_fixed_shape_and_span_64_frames(frames: int) -> None:
    rule = MotionChunks(5)
    indices = rule.indices(frame_times(frames), None)
    assert indices.shape == (rule.num_clips, rule.clip_length) == (5, 32)
    assert (indices.min(), indices.max()) == (0, frames - 1)
    np.testing.assert_array_equal(np.ptp(indices, axis=1), min(frames, 64) - 1)


def test_official_chunks_tile_the_video_and_end_with_its_last_64_frames() -> None:
    chunks = OfficialMotionChunks().indices(frame_times(150), None)
    assert chunks[:, 0].tolist() == [0, 64, 86]
    assert chunks[:, -1].tolist() == [63, 127, 149]


def test_the_slip_shows_in_the_last_chunk_alone() -> None:
    mended, official = (rule.indices(frame_times(128), None) for rule in (MotionSteps(), OfficialMotionSteps()))
    np.testing.assert_array_equal(mended[:32], official[:32])
    assert mended[32:, 0].tolist()[:3] == [64, 66, 68]
    assert official[32:, 0].tolist()[:3] == [64, 65, 66]


@pytest.mark.parametrize("fps", [24, 25, 30, 50])
@pytest.mark.parametrize("frames", [1, 31, 75, 150])
def test_official_seconds_are_the_frames_that_ffmpeg_writes(fps: int, frames: int) -> None:
    pictures = np.repeat(np.arange(frames, dtype=np.uint8), 64).tobytes()
    raw = ["-f", "rawvideo", "-pix_fmt", "gray"]
    given = [*raw, "-s", "8x8", "-r", str(fps), "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *given, "-r", "1", *raw, "-"]
    written = subprocess.run(command, input=pictures, capture_output=True, check=True).stdout[::64]
    wanted = math.ceil(frames / fps)
    rule = OfficialSeconds().indices(FrameTimes(frames, fps, tuple(i / fps for i in range(frames))), None)
    assert rule[:, 0].tolist() == list(written)[:wanted]


def test_keys_tell_rules_apart() -> None:
    rules = [SpreadFrames(8), SpreadFrames(9), OfficialEveryFrame(), MotionChunks(5), MotionChunks(6)]
    rules += [OfficialMotionChunks(), MotionSteps(), OfficialMotionSteps(), OfficialSeconds()]
    assert len({rule.key for rule in rules}) == len(rules)
    assert not any(rule.random for rule in rules)
