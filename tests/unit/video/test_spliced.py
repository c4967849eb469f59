"""Runs of frames from all over a video as one clip."""

from __future__ import annotations

import numpy as np
import pytest

from cvqa_models.video.dense import OfficialEveryFrame
from cvqa_models.video.frame_rules import FrameTimes, UniformClips
from cvqa_models.video.spliced import Spliced


def frame_times(frames: int) -> FrameTimes:
    return FrameTimes(frames, 25.0, tuple(index / 25 for index in range(frames)))


def test_runs_in_order_as_one_clip() -> None:
    runs = UniformClips(4, 2, 2)
    rule = Spliced(runs)
    assert (rule.num_clips, rule.clip_length, rule.key) == (1, 8, f"{runs.key}-spliced")
    assert rule.indices(frame_times(40)).tolist() == [runs.indices(frame_times(40)).reshape(-1).tolist()]


def test_training_draws_as_the_runs_do() -> None:
    assert not Spliced(UniformClips(4, 2, 2)).random
    rule = Spliced(UniformClips(4, 2, 2, random=True))
    assert rule.random
    drawn = [rule.indices(frame_times(400), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_runs_of_which_the_video_decides_the_number_are_refused() -> None:
    with pytest.raises(ValueError, match="`runs` is OfficialEveryFrame, which takes more clips from a longer video"):
        Spliced(OfficialEveryFrame())
