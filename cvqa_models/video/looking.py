"""Frame rules for looking at a video: every frame, or certain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cvqa_models.video.frame_rules import FrameRule, FrameTimes, Indices
from cvqa_models.video.info import VideoInfo
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View


def seen_small(info: VideoInfo, frames: Sequence[int], widest: int) -> View:
    """Return a view of certain frames for the eye; sides are even, and `widest` pixels at most."""
    share = min(1.0, widest / info.width)
    height, width = (max(2, round(side * share / 2) * 2) for side in (info.height, info.width))
    return View(TheseFrames(tuple(frames)), Resize(height, width, "area"))


@dataclass(frozen=True)
class EveryPair(FrameRule):
    """Each frame after the frame before it, a clip of length 2 per frame; the clip of the first frame is (0, 1)."""

    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=2, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "pairs-all"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (frames of the video, 2)."""
        last = np.maximum(np.arange(frame_times.num_frames), min(1, frame_times.num_frames - 1))
        return np.stack([np.maximum(last - 1, 0), last], axis=1)


@dataclass(frozen=True)
class TheseFrames(FrameRule):
    """Frames by their index, one per clip, or each after the frame before it; past the end, the last frame is taken.

    Attributes:
        at: Indices of the frames, from 0.
        clip_length: 1 for single frames, 2 for pairs that end with them.
    """

    at: tuple[int, ...]
    clip_length: int = 1
    num_clips: int | None = field(default=None, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"these{'_'.join(map(str, self.at))}x{self.clip_length}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        last = np.minimum(np.array(self.at, dtype=np.int64), frame_times.num_frames - 1)
        if self.clip_length == 1:
            return last[:, None]
        last = np.maximum(last, min(1, frame_times.num_frames - 1))
        return np.stack([np.maximum(last - 1, 0), last], axis=1)
