"""Frame rules: which frames a view takes. They only compute with frame times, and read no file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

# A container rounds timestamps to its time base, so a frame this close before a full second still begins that second.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a video are shown: all that a frame rule knows of it.

    Attributes:
        num_frames: Frames that the decoder delivers, at least 1.
        fps: Mean frames per second, 0 if unknown.
        times: Time of each frame in seconds, the first at 0, rising; length `num_frames`.
    """

    num_frames: int
    fps: float
    times: tuple[float, ...]

    @property
    def duration(self) -> float:
        """Return the length in seconds; the last frame counts as long as the one before it, at most a second."""
        if self.num_frames == 1 or self.times[-1] == 0:
            return self.num_frames / (self.fps or 25)
        return self.times[-1] + min(self.times[-1] - self.times[-2], 1.0)


class FrameRule(ABC):
    """Chooses clips of frames. The rules are frozen dataclasses, so that a configuration can name and fill them.

    Attributes:
        num_clips: Clips per video; None if the length of the video decides. Then only videos of equal length can be
            stacked to a batch.
        clip_length: Frames per clip.
    """

    num_clips: int | None
    clip_length: int

    def __post_init__(self) -> None:
        check_positive(self, "num_clips", "clip_length")

    @property
    @abstractmethod
    def key(self) -> str:
        """Return the short name of the rule, for cache keys."""

    @property
    def random(self) -> bool:
        """Return whether training draws at random."""
        return False

    @abstractmethod
    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T). Without `rng`, as in evaluation, they are always the same."""


def check_positive(rule: object, *names: str) -> None:
    """Raise a ValueError if a number of a rule is below 1."""
    for name in names:
        value = getattr(rule, name)
        if value is not None and value < 1:
            raise ValueError(f"`{name}` of {type(rule).__name__} is {value}; expected at least 1.")


@dataclass(frozen=True)
class KeyFrames(FrameRule):
    """One frame a second, each a clip of length 1: the first frame whose timestamp is at or after the full second.

    Attributes:
        num_clips: Frames per video, of seconds that are evenly spread from the first to the last. A video with fewer
            seconds repeats some, in order, so frame k of N stands at the same part of every video.
    """

    num_clips: int = 8
    clip_length: int = field(default=1, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"key{self.num_clips}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        return _spread_seconds(frame_times, self.num_clips).reshape(-1, 1)


@dataclass(frozen=True)
class OfficialKeyFrames(KeyFrames):
    """RQ-VQA's key frames: index k * round(fps) for the first seconds; the rest of the video is ignored.

    Attributes:
        num_clips: Frames per video; a shorter video repeats its last frame.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        return _first_seconds(frame_times, self.num_clips, whole_only=False).reshape(-1, 1)


@dataclass(frozen=True)
class Chunks(FrameRule):
    """Clips that begin with a second of the video.

    Attributes:
        num_clips: Chunks per video, chosen and repeated as `KeyFrames` does.
        clip_length: Frames per chunk; past the end, the last frame is repeated.
        fps: Rate at which `clip_length` frames are taken by their timestamps; None takes consecutive frames.
    """

    num_clips: int = 8
    clip_length: int = 32
    fps: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueError(f"`fps` of {type(self).__name__} is {self.fps}; expected a rate above 0, or null.")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        rate = "" if self.fps is None else f"@{self.fps:g}"
        return f"chunk{self.num_clips}x{self.clip_length}{rate}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        starts = self._starts(frame_times)
        if self.fps is None:
            chosen: Indices = starts[:, None] + np.arange(self.clip_length)
        else:
            times = np.asarray(frame_times.times)
            wanted = times[starts][:, None] + np.arange(self.clip_length) / self.fps
            chosen = np.searchsorted(times, wanted - TOLERANCE)
        chosen[chosen >= frame_times.num_frames] = frame_times.num_frames - 1
        return chosen

    def _starts(self, frame_times: FrameTimes) -> Indices:
        return _spread_seconds(frame_times, self.num_clips)


@dataclass(frozen=True)
class OfficialChunks(Chunks):
    """RQ-VQA's chunks: chunk k starts at frame k * round(fps), and a last second that is cut short is left out."""

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-official"

    def _starts(self, frame_times: FrameTimes) -> Indices:
        return _first_seconds(frame_times, self.num_clips, whole_only=True)


@dataclass(frozen=True)
class UniformClips(FrameRule):
    """Clips in equal segments of the video (FAST-VQA, DOVER, COVER).

    Attributes:
        num_clips: Segments, each with one clip.
        clip_length: Frames per clip.
        stride: Step between the frames of a clip.
        random: Whether training draws the place of a clip inside its segment at random; evaluation takes the middle.
    """

    num_clips: int
    clip_length: int
    stride: int = 1
    random: bool = False

    def __post_init__(self) -> None:
        check_positive(self, "num_clips", "clip_length", "stride")

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"clip{self.num_clips}x{self.clip_length}s{self.stride}{'-random' if self.random else ''}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        total = frame_times.num_frames
        steps = np.arange(self.clip_length) * self.stride
        segment = total / self.num_clips
        slack = max(0.0, segment - (steps[-1] + 1))
        place = 0.5 if rng is None or not self.random else rng.random(self.num_clips)
        starts = np.arange(self.num_clips) * segment + place * slack
        starts = np.minimum(starts, max(0, total - 1 - steps[-1]))
        chosen: Indices = starts.astype(np.int64)[:, None] + steps
        return chosen.clip(max=total - 1)


@dataclass(frozen=True)
class OfficialUniformClips(UniformClips):
    """The authors' clips of `UniformClips`: segments of whole frames, and a random place in each, also in evaluation.

    In evaluation the draw is seeded by the video's length and `seed`. Frames past the end wrap around to the start.

    Attributes:
        num_clips: Segments, each with one clip.
        clip_length: Frames per clip.
        stride: Step between the frames of a clip.
        random: Whether training draws other places in each epoch.
        seed: Different seeds give the views of one video different draws, as the authors draw them one after the other.
    """

    seed: int = 0

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"{super().key}-official" + (f"-seed{self.seed}" if self.seed else "")

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        total = frame_times.num_frames
        # The authors draw from numpy's legacy global generator. This draws the same numbers, but from a seed.
        randint = rng.integers if rng is not None and self.random else np.random.RandomState(total + self.seed).randint
        return official_segments(total, self.num_clips, self.clip_length, self.stride, randint)


@dataclass(frozen=True)
class ClipsOverTime(FrameRule):
    """Clips in the middle of equal parts of the video's time; at a constant frame rate `UniformClips` gives the same.

    Attributes:
        num_clips: Parts, each with one clip.
        clip_length: Consecutive frames per clip.
    """

    num_clips: int
    clip_length: int

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"time{self.num_clips}x{self.clip_length}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, T)."""
        borders = [*frame_times.times, frame_times.duration]
        middles = (np.arange(self.num_clips) + 0.5) * (frame_times.duration / self.num_clips)
        places = np.interp(middles, borders, np.arange(len(borders)))  # in frames, not rounded
        starts = np.maximum(places - self.clip_length / 2 + TOLERANCE, 0).astype(np.int64)
        starts = np.minimum(starts, max(0, frame_times.num_frames - self.clip_length))
        chosen: Indices = starts[:, None] + np.arange(self.clip_length)
        return chosen.clip(max=frame_times.num_frames - 1)


def official_segments(
    total: int, count: int, length: int, stride: int, randint: Callable[[int, int, int], Indices]
) -> Indices:
    """Return FAST-VQA's frame indices, shape (count, length).

    Args:
        total: Frames of the video.
        count: Segments.
        length: Frames per segment.
        stride: Step between them.
        randint: Draws (low, high, size) whole numbers, high exclusive; called once if segments leave room.
    """
    segment = total // count
    room = segment - length * stride
    place = randint(0, room, count) if room > 0 else np.zeros(count, dtype=np.int64)
    starts = np.arange(count) * segment + place
    return ((starts[:, None] + np.arange(length) * stride) % total).astype(np.int64)


def _spread_seconds(frame_times: FrameTimes, count: int) -> Indices:
    """Return the first frames of `count` seconds, spread over the video; some repeat if there are fewer seconds."""
    times = np.asarray(frame_times.times)
    starts = np.searchsorted(times, np.arange(int(times[-1] + TOLERANCE) + 1) - TOLERANCE)
    return starts[np.linspace(0, len(starts) - 1, count).round().astype(np.int64)]


def _first_seconds(frame_times: FrameTimes, count: int, *, whole_only: bool) -> Indices:
    """Return the frames at which RQ-VQA begins the first `count` seconds; the last repeats if there are fewer."""
    step = round(frame_times.fps)
    if step == 0:
        return np.zeros(count, dtype=np.int64)
    total = frame_times.num_frames // step if whole_only else -(-frame_times.num_frames // step)
    return np.minimum(np.arange(count), max(total - 1, 0)) * step
