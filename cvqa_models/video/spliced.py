"""Join short runs of frames, spread over the video, to one clip (COVER, DOVER, FasterVQA)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cvqa_models.video.frame_rules import FrameRule, FrameTimes, Indices


@dataclass(frozen=True)
class Spliced(FrameRule):
    """The clips of another rule joined to one clip, so that a pixel rule cuts the same places from all of them.

    Attributes:
        runs: Rule that gives the clips to join.

    Raises:
        ValueError: If the length of the video decides how many clips `runs` gives.
    """

    runs: FrameRule
    num_clips: int = field(default=1, init=False)
    clip_length: int = field(init=False)

    def __post_init__(self) -> None:
        if self.runs.num_clips is None:
            raise ValueError(
                f"`runs` is {type(self.runs).__name__}, which takes more clips from a longer video; take a rule "
                "with `num_clips`."
            )
        object.__setattr__(self, "clip_length", self.runs.num_clips * self.runs.clip_length)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{self.runs.key}-spliced"

    @property
    def random(self) -> bool:
        """Return whether training draws the runs at random."""
        return self.runs.random

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (1, T), run after run."""
        return self.runs.indices(frame_times, rng).reshape(1, -1)
