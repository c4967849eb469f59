"""Runs of consecutive frames, as FAST-VQA's program for single videos takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvqa_models.video.frame_rules import FrameRule, FrameTimes, Indices


@dataclass(frozen=True)
class OfficialCentredClips(FrameRule):
    """The frames of FAST-VQA's `vqa.py`: runs of consecutive frames, spread over the video, never random.

    The program looks for `t_frag` on the wrong level of its options and does not pass the interval on. So FasterVQA
    sees 32 consecutive frames, and FAST-VQA sees four runs that may overlap. Its scores differ from those that the
    authors' data set classes give (`OfficialUniformClips`) and from the published figures. Frames past the end wrap
    around to the start.

    Attributes:
        num_clips: Runs.
        clip_length: Frames per run.
    """

    num_clips: int
    clip_length: int

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"centred{self.num_clips}x{self.clip_length}-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        total = frame_times.num_frames
        step = max(0.0, (total - self.clip_length + 1) / self.num_clips)
        starts = (np.arange(self.num_clips) * step + step / 2).astype(np.int64)
        chosen: Indices = (starts[:, None] + np.arange(self.clip_length)) % total
        return chosen
