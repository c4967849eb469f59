"""Frame rules of systems that choose frames by their number within a second: E-VQA, CompressedVQA-HDR, MinimalisticVQA.

A second has round(fps) frames for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cvqa_models.video.frame_rules import FrameRule, FrameTimes, Indices, check_positive


@dataclass(frozen=True)
class OfficialMiddles(FrameRule):
    """The frame in the middle of each second by its number: n % round(fps) == round(fps) // 2.

    CompressedVQA-HDR takes all of them without a reference, and 8 with a reference. E-VQA takes every other one of 8.
    If the rate rounds to 0, every frame is taken, as in E-VQA; the other programs fail then.

    The authors' programs also fail, or write past the end of their memory, if a video has more such frames than whole
    seconds (CompressedVQA-HDR), more than 8 (with a reference), or none. Here all of them are taken, or the first 8,
    and a video that ends before the middle of its first second gives its last frame.

    Attributes:
        num_clips: Frames per video, from the start; a shorter video repeats its last. None takes all.
        step: Takes every `step`-th of these frames.
    """

    num_clips: int | None = 8
    step: int = 1
    clip_length: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        check_positive(self, "num_clips", "step")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        every = "" if self.step == 1 else f"s{self.step}"
        return f"{self._name}{'-all' if self.num_clips is None else self.num_clips}{every}-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        period = round(frame_times.fps)
        found = np.arange(self._first(period), frame_times.num_frames, max(period, 1))
        if not len(found):
            found = np.array([frame_times.num_frames - 1])
        if self.num_clips is None:
            return found[:: self.step].reshape(-1, 1)
        places = np.arange(self.num_clips) * self.step
        return found[np.minimum(places, len(found) - 1)].reshape(-1, 1)

    @property
    def _name(self) -> str:
        return "middles"

    def _first(self, period: int) -> int:
        """Return the number of the first frame to take, in a second of `period` frames."""
        return period // 2


@dataclass(frozen=True)
class OfficialStarts(OfficialMiddles):
    """The frame at the start of each second by its number, n % round(fps) == 0, as E-VQA writes frames to files.

    E-VQA's other program, which reads the video itself, takes `OfficialMiddles`; the two give different scores.
    """

    @property
    def _name(self) -> str:
        return "starts"

    def _first(self, period: int) -> int:
        return 0


@dataclass(frozen=True)
class OfficialWholeSeconds(FrameRule):
    """The middle of each whole second by its number, n % round(fps) == round(fps) // 2, at least 8 (MinimalisticVQA).

    A shorter video repeats its last such frame. The authors' program fails on videos of less than half a second.

    Attributes:
        at_least: Smallest number of frames per video.
    """

    at_least: int = 8
    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        check_positive(self, "at_least")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"whole-seconds{self.at_least}-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        seconds = frame_times.num_frames // max(round(frame_times.fps), 1)
        return OfficialMiddles(max(seconds, self.at_least)).indices(frame_times)


@dataclass(frozen=True)
class OfficialMidChunks(FrameRule):
    """The middle 32 frames of each whole second by its number, for at least 8 seconds (MinimalisticVQA).

    A second of at most 32 frames is taken whole, with its last frame repeated. A shorter video repeats its last second.
    The authors' program fails on videos of less than a second; here they count as one second.

    Attributes:
        at_least: Smallest number of chunks per video.
        clip_length: Frames per chunk.
    """

    at_least: int = 8
    clip_length: int = 32
    num_clips: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_positive(self, "at_least", "clip_length")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"mid-chunks{self.at_least}x{self.clip_length}-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        period = min(max(round(frame_times.fps), 1), frame_times.num_frames)
        seconds = frame_times.num_frames // period
        inside = np.minimum(np.arange(self.clip_length), period - 1)
        if period > self.clip_length:
            inside = period // 2 - self.clip_length // 2 + np.arange(self.clip_length)
        starts = np.minimum(np.arange(max(seconds, self.at_least)), seconds - 1) * period
        chosen: Indices = starts[:, None] + inside
        return chosen
