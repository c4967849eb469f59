"""Runs of frames from all over a video as one clip."""

from __future__ import annotations

import numpy as np

from cvqa_models.video.frames import Timeline, UniformClips
from cvqa_models.video.spliced import Spliced


def timeline(frames: int) -> Timeline:
    return Timeline(frames, 25.0, tuple(index / 25 for index in range(frames)))


def test_runs_in_order_as_one_clip() -> None:
    runs = UniformClips(4, 2, 2)
    rule = Spliced(runs)
    assert (rule.num_clips, rule.clip_length, rule.key) == (1, 8, f"{runs.key}-spliced")
    assert rule.indices(timeline(40)).tolist() == [runs.indices(timeline(40)).reshape(-1).tolist()]


def test_training_draws_as_the_runs_do() -> None:
    assert not Spliced(UniformClips(4, 2, 2)).random
    rule = Spliced(UniformClips(4, 2, 2, random=True))
    assert rule.random
    drawn = [rule.indices(timeline(400), np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
