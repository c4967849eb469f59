"""Which frames a view takes: arithmetic on a timeline, without a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Sampling = Literal["even", "official"]

# Timestamps are rounded to a container's time base; a frame this close before a second still begins it.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Timeline:
    """What a frame rule may know of a video.

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
        """Return the length in seconds; the last frame is taken to last as long as the one before, at most a second."""
        if self.num_frames == 1 or self.times[-1] == 0:
            return self.num_frames / (self.fps or 25)
        return self.times[-1] + min(self.times[-1] - self.times[-2], 1.0)


class FrameRule(Protocol):
    """Chooses N clips of T frames."""

    @property
    def num_clips(self) -> int:
        """Return N."""
        ...

    @property
    def clip_length(self) -> int:
        """Return T."""
        ...

    @property
    def key(self) -> str:
        """Return the short name of the rule, for cache keys."""
        ...

    @property
    def random(self) -> bool:
        """Return whether training draws at random."""
        ...

    def indices(self, timeline: Timeline, rng: np.random.Generator | None) -> Indices:
        """Return frame indices, shape (N, T); without `rng`, in evaluation, always the same ones."""
        ...


@dataclass(frozen=True)
class KeyFrames:
    """One frame a second, each a clip of length 1.

    Attributes:
        count: Frames per video: as many of its seconds, evenly spread from the first to the last. A shorter video
            repeats some, in order, so that frame k of `count` stands at the same part of every video.
        sampling: `even` takes the first frame at or after each full second by its timestamp. `official` repeats
            RQ-VQA: index k * round(fps) for the first `count` seconds, whatever comes after; a shorter video repeats
            its last.
    """

    count: int = 8
    sampling: Sampling = "even"
    clip_length: ClassVar[int] = 1
    random: ClassVar[bool] = False

    @property
    def num_clips(self) -> int:
        """Return the number of frames."""
        return self.count

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"key{self.count}{_suffix(self.sampling)}"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (count, 1)."""
        return _seconds(timeline, self.count, self.sampling).reshape(-1, 1)


@dataclass(frozen=True)
class Chunks:
    """Clips that begin with a second of the video.

    Attributes:
        count: Chunks per video, chosen and repeated as `KeyFrames` does.
        length: Frames per chunk; past the end the last frame repeats.
        fps: None takes consecutive frames; a rate takes `length` frames at that rate by timestamps.
        sampling: `official` repeats RQ-VQA: chunk k starts at frame k * round(fps), and only whole seconds count.
    """

    count: int = 8
    length: int = 32
    fps: float | None = None
    sampling: Sampling = "even"
    random: ClassVar[bool] = False

    @property
    def num_clips(self) -> int:
        """Return the number of chunks."""
        return self.count

    @property
    def clip_length(self) -> int:
        """Return the frames per chunk."""
        return self.length

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        rate = "" if self.fps is None else f"@{self.fps:g}"
        return f"chunk{self.count}x{self.length}{rate}{_suffix(self.sampling)}"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (count, length)."""
        whole_only = self.sampling == "official"
        starts = _seconds(timeline, self.count, self.sampling, whole_only=whole_only)
        if self.fps is None:
            chosen: Indices = starts[:, None] + np.arange(self.length)
        else:
            times = np.asarray(timeline.times)
            wanted = times[starts][:, None] + np.arange(self.length) / self.fps
            chosen = np.searchsorted(times, wanted - TOLERANCE)
        chosen[chosen >= timeline.num_frames] = timeline.num_frames - 1
        return chosen


@dataclass(frozen=True)
class UniformClips:
    """Clips in equal segments of the video (FAST-VQA, DOVER, COVER).

    Attributes:
        count: Segments, each with one clip.
        length: Frames per clip.
        stride: Step between the frames of a clip.
        random: Whether training draws the place of a clip inside its segment; evaluation takes the middle.
        sampling: `official` repeats the authors: whole-number segments, a random place in them also in evaluation
            (seeded by the video's length and `seed`), and frames past the end wrap around to its start.
        seed: Sets apart the `official` draws of views that show one video, which the authors draw one by one.
    """

    count: int
    length: int
    stride: int = 1
    random: bool = False
    sampling: Sampling = "even"
    seed: int = 0

    @property
    def num_clips(self) -> int:
        """Return the number of clips."""
        return self.count

    @property
    def clip_length(self) -> int:
        """Return the frames per clip."""
        return self.length

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        drawn = "-random" if self.random else ""
        seeded = f"-seed{self.seed}" if self.sampling == "official" and self.seed else ""
        return f"clip{self.count}x{self.length}s{self.stride}{drawn}{_suffix(self.sampling)}{seeded}"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (count, length)."""
        total = timeline.num_frames
        if self.sampling == "official":
            # The authors draw from numpy's legacy global generator; the same stream, but seeded.
            randint = (
                rng.integers if rng is not None and self.random else np.random.RandomState(total + self.seed).randint
            )
            return official_segments(total, self.count, self.length, self.stride, randint)
        steps = np.arange(self.length) * self.stride
        segment = total / self.count
        slack = max(0.0, segment - (steps[-1] + 1))
        place = 0.5 if rng is None or not self.random else rng.random(self.count)
        starts = np.arange(self.count) * segment + place * slack
        starts = np.minimum(starts, max(0, total - 1 - steps[-1]))
        chosen: Indices = starts.astype(np.int64)[:, None] + steps
        return chosen.clip(max=total - 1)


@dataclass(frozen=True)
class ClipsOverTime:
    """Clips in the middle of equal parts of the video's time; at a constant rate `UniformClips` gives the same.

    Attributes:
        count: Parts, each with one clip.
        length: Consecutive frames per clip.
    """

    count: int
    length: int
    random: ClassVar[bool] = False

    @property
    def num_clips(self) -> int:
        """Return the number of clips."""
        return self.count

    @property
    def clip_length(self) -> int:
        """Return the frames per clip."""
        return self.length

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"time{self.count}x{self.length}"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (count, length)."""
        borders = [*timeline.times, timeline.duration]
        middles = (np.arange(self.count) + 0.5) * (timeline.duration / self.count)
        places = np.interp(middles, borders, np.arange(len(borders)))  # in frames, with a fraction
        starts = np.maximum(places - self.length / 2 + TOLERANCE, 0).astype(np.int64)
        starts = np.minimum(starts, max(0, timeline.num_frames - self.length))
        chosen: Indices = starts[:, None] + np.arange(self.length)
        return chosen.clip(max=timeline.num_frames - 1)


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


def _seconds(timeline: Timeline, count: int, sampling: Sampling, *, whole_only: bool = False) -> Indices:
    """Return the first frames of `count` seconds; some repeat if there are fewer."""
    if sampling == "official":
        step = round(timeline.fps)
        if step == 0:
            return np.zeros(count, dtype=np.int64)
        total = timeline.num_frames // step if whole_only else -(-timeline.num_frames // step)
        return np.minimum(np.arange(count), max(total - 1, 0)) * step
    times = np.asarray(timeline.times)
    starts = np.searchsorted(times, np.arange(int(times[-1] + TOLERANCE) + 1) - TOLERANCE)
    return starts[np.linspace(0, len(starts) - 1, count).round().astype(np.int64)]


def _suffix(sampling: Sampling) -> str:
    return "" if sampling == "even" else "-official"
