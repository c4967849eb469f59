"""One clip out of short runs of frames from all over the video (COVER, DOVER, FasterVQA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cvqa_models.video.frames import FrameRule, Indices, Timeline


@dataclass(frozen=True)
class Spliced:
    """The clips of another rule joined into one, so that a pixel rule cuts the same places from all of them.

    Attributes:
        runs: What to join.
    """

    runs: FrameRule
    num_clips: ClassVar[int] = 1

    @property
    def clip_length(self) -> int:
        """Return the frames of all runs."""
        return self.runs.num_clips * self.runs.clip_length

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{self.runs.key}-spliced"

    @property
    def random(self) -> bool:
        """Return whether training draws the runs at random."""
        return self.runs.random

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (1, T), run after run."""
        return self.runs.indices(timeline, rng).reshape(1, -1)
