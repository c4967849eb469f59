"""Frame rules of the systems that read a video from end to end: VSFA, HVS-5M and UVQ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cvqa_models.video.frames import TOLERANCE, Indices, Sampling, Timeline

CHUNK = 64  # frames that HVS-5M's motion network spans
_DRIFT = 1.1  # frames by which ffmpeg lets input and output differ before it drops or repeats one
STEPS = 32  # frames of a chunk that its fast pathway sees


@dataclass(frozen=True)
class EveryFrame:
    """Single frames all over the video, one per clip (VSFA).

    Attributes:
        count: Frames per video; a shorter video repeats some.
        sampling: `even` spreads `count` frames from the first to the last; `official` takes all frames, so that N is
            the length of the video, `count` is ignored, and only videos of equal length stack.
    """

    count: int
    sampling: Sampling = "even"
    clip_length: ClassVar[int] = 1
    random: ClassVar[bool] = False

    @property
    def num_clips(self) -> int:
        """Return the number of frames; with `official` sampling the video has the last word."""
        return self.count

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"frames{self.count}" if self.sampling == "even" else "frames-all"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        total = timeline.num_frames
        if self.sampling == "official":
            return np.arange(total).reshape(-1, 1)
        return _spread(total - 1, self.count).reshape(-1, 1)


@dataclass(frozen=True)
class MotionChunks:
    """32 of 64 consecutive frames per clip: 0, 2, ..., 60, 63, the fast pathway's frames (HVS-5M).

    A video of at most 64 frames is one chunk and gives 32 steps over its length.

    Attributes:
        count: Chunks per video.
        sampling: `even` spreads `count` chunks from the first to the last frame; 5 cover 10 s at 30 frames a second
            almost without overlap. `official` tiles the video and adds a chunk of its last 64 frames, so that N
            depends on the length, `count` is ignored, and only videos of equal length stack.
    """

    count: int
    sampling: Sampling = "even"
    clip_length: ClassVar[int] = STEPS
    random: ClassVar[bool] = False

    @property
    def num_clips(self) -> int:
        """Return the number of chunks; with `official` sampling the video has the last word."""
        return self.count

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"motion{self.count}" if self.sampling == "even" else "motion-all"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 32)."""
        total = timeline.num_frames
        last_start = max(total - CHUNK, 0)
        if self.sampling == "even":
            starts = _spread(last_start, self.count)
        else:
            starts = np.append(np.arange(_full_chunks(total)) * CHUNK, last_start)
        return starts[:, None] + _steps(total)


@dataclass(frozen=True)
class MotionSteps:
    """The frame of each step that `MotionChunks(sampling="official")` keeps, one per clip (HVS-5M).

    Steps of the last chunk that repeat frames of the one before are left out. N depends on the length of the video, so
    that only videos of equal length stack.

    Attributes:
        sampling: `official` repeats a slip of the authors' code, which takes the frame at the step's position in the
            last chunk instead of the step's own frame; `mended` takes the step's frame.
    """

    sampling: Literal["mended", "official"] = "mended"
    num_clips: ClassVar[int] = STEPS
    clip_length: ClassVar[int] = 1
    random: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"steps-{self.sampling}"

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        total, full = timeline.num_frames, _full_chunks(timeline.num_frames)
        tiled = (np.arange(full)[:, None] * CHUNK + _steps(total)).reshape(-1)
        start = max(total - CHUNK, 0)
        own = start + _steps(total)
        kept = own >= full * CHUNK
        slipped = self.sampling == "official" and full > 0
        tail = start + np.arange(STEPS) if slipped else own
        return np.concatenate([tiled, tail[kept]]).reshape(-1, 1)


@dataclass(frozen=True)
class OfficialSeconds:
    """The frames that `ffmpeg -r 1` writes, each a clip of length 1, one for each begun second (UVQ 1.5).

    ffmpeg takes frame 0 and frame 1, then the last frame before nine tenths of each further second: 0, 1, 26, 56, ...
    at 30 frames a second. UVQ scores these though it reports 0, 30, 60. N depends on the length of the video, so that
    only videos of equal length stack.

    Attributes:
        count: Frames that `num_clips` tells of; the video has the last word.
    """

    count: int = 8
    clip_length: ClassVar[int] = 1
    random: ClassVar[bool] = False
    key: ClassVar[str] = "seconds-official"

    @property
    def num_clips(self) -> int:
        """Return the usual number of frames; the video has the last word."""
        return self.count

    def indices(self, timeline: Timeline, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1), where N is the duration in seconds, rounded up.

        Where ffmpeg writes fewer frames than that, the last is repeated; UVQ's program scores black ones there.
        """
        duration = 1 / timeline.fps if timeline.fps else 1.0
        wanted = max(1, math.ceil(timeline.times[-1] + duration - TOLERANCE))
        chosen: list[int] = []
        for index, time in enumerate(timeline.times):
            ahead = time + duration - len(chosen)  # of the second that ffmpeg writes next, in seconds
            if ahead > _DRIFT:
                late = round(max(time - len(chosen), 0) - 0.6) if time - len(chosen) > _DRIFT else 0
                chosen += [max(index - 1, 0)] * late + [index] * (round(ahead) - late)
            elif ahead >= -_DRIFT:
                chosen.append(index)
        chosen += [timeline.num_frames - 1] * (wanted - len(chosen))
        return np.array(chosen[:wanted], dtype=np.int64).reshape(-1, 1)


def _full_chunks(total: int) -> int:
    """Return the chunks of 64 frames before the last one."""
    return max(total - 1, 0) // CHUNK


def _steps(total: int) -> Indices:
    """Return the 32 steps within a chunk of a video of `total` frames."""
    return np.linspace(0, min(total, CHUNK) - 1, STEPS).astype(np.int64)


def _spread(last: int, count: int) -> Indices:
    """Return `count` whole numbers from 0 to `last`, evenly spread; the middle one alone."""
    if count == 1:
        return np.array([last // 2], dtype=np.int64)
    return np.linspace(0, last, count).round().astype(np.int64)
