"""Frame rules of the systems that read a video from end to end: VSFA, HVS-5M and UVQ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from cvqa_models.video.frame_rules import TOLERANCE, FrameRule, FrameTimes, Indices

CHUNK = 64  # frames that HVS-5M's motion network spans
_DRIFT = 1.1  # frames by which ffmpeg's input and output may differ before it drops or repeats a frame
STEPS = 32  # frames of a chunk that its fast pathway sees


@dataclass(frozen=True)
class SpreadFrames(FrameRule):
    """Single frames spread evenly from the first of a video to its last, one per clip.

    Attributes:
        num_clips: Frames per video; a shorter video repeats some.
    """

    num_clips: int
    clip_length: int = field(default=1, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"frames{self.num_clips}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        return _spread(frame_times.num_frames - 1, self.num_clips).reshape(-1, 1)


@dataclass(frozen=True)
class OfficialEveryFrame(FrameRule):
    """All frames of a video, one per clip (VSFA)."""

    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=1, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "frames-all"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (frames of the video, 1)."""
        return np.arange(frame_times.num_frames).reshape(-1, 1)


@dataclass(frozen=True)
class MotionChunks(FrameRule):
    """32 of 64 consecutive frames per clip: 0, 2, ..., 60, 63, the fast pathway's frames (HVS-5M).

    A video of at most 64 frames is one chunk and gives 32 steps over its length.

    Attributes:
        num_clips: Chunks per video, spread evenly from the first to the last frame; 5 cover 10 s at 30 frames a second
            almost without overlap.
    """

    num_clips: int
    clip_length: int = field(default=STEPS, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return f"motion{self.num_clips}"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 32)."""
        total = frame_times.num_frames
        return _spread(max(total - CHUNK, 0), self.num_clips)[:, None] + _steps(total)


@dataclass(frozen=True)
class OfficialMotionChunks(FrameRule):
    """The authors' chunks of `MotionChunks`: one after the other, and one of the last 64 frames is added (HVS-5M)."""

    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=STEPS, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "motion-all"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 32)."""
        total = frame_times.num_frames
        starts = np.append(np.arange(_full_chunks(total)) * CHUNK, max(total - CHUNK, 0))
        return starts[:, None] + _steps(total)


@dataclass(frozen=True)
class MotionSteps(FrameRule):
    """The frame of each step that `OfficialMotionChunks` keeps, one per clip (HVS-5M).

    Steps of the last chunk are left out if they repeat frames of the chunk before.
    """

    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=1, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "steps-mended"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1)."""
        total, full = frame_times.num_frames, _full_chunks(frame_times.num_frames)
        tiled = (np.arange(full)[:, None] * CHUNK + _steps(total)).reshape(-1)
        own = max(total - CHUNK, 0) + _steps(total)
        return np.concatenate([tiled, self._tail(total, own)[own >= full * CHUNK]]).reshape(-1, 1)

    def _tail(self, total: int, own: Indices) -> Indices:
        """Return a frame for each step of the last chunk; `own` are the frames of the chunk itself."""
        return own


@dataclass(frozen=True)
class OfficialMotionSteps(MotionSteps):
    """`MotionSteps` with a mistake of the authors' code.

    In the last chunk it takes the frame at the step's position instead of the step's own frame.
    """

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "steps-official"

    def _tail(self, total: int, own: Indices) -> Indices:
        return max(total - CHUNK, 0) + np.arange(STEPS) if _full_chunks(total) > 0 else own


@dataclass(frozen=True)
class OfficialSeconds(FrameRule):
    """The frames that `ffmpeg -r 1` writes, each a clip of length 1, one for each second that has begun (UVQ 1.5).

    ffmpeg takes frame 0 and frame 1, and then the last frame before nine tenths of each further second: 0, 1, 26, 56,
    ... at 30 frames a second. UVQ scores these frames, although it reports 0, 30, 60.
    """

    num_clips: int | None = field(default=None, init=False)
    clip_length: int = field(default=1, init=False)

    @property
    def key(self) -> str:
        """Return the short name of the rule."""
        return "seconds-official"

    def indices(self, frame_times: FrameTimes, rng: np.random.Generator | None = None) -> Indices:
        """Return frame indices, shape (N, 1), where N is the duration in seconds, rounded up.

        If ffmpeg writes fewer frames, the last is repeated; UVQ's program scores black frames in their place.
        """
        duration = 1 / frame_times.fps if frame_times.fps else 1.0
        wanted = max(1, math.ceil(frame_times.times[-1] + duration - TOLERANCE))
        chosen: list[int] = []
        for index, time in enumerate(frame_times.times):
            ahead = time + duration - len(chosen)  # how far the second that ffmpeg writes next is ahead, in seconds
            if ahead > _DRIFT:
                late = round(max(time - len(chosen), 0) - 0.6) if time - len(chosen) > _DRIFT else 0
                chosen += [max(index - 1, 0)] * late + [index] * (round(ahead) - late)
            elif ahead >= -_DRIFT:
                chosen.append(index)
        chosen += [frame_times.num_frames - 1] * (wanted - len(chosen))
        return np.array(chosen[:wanted], dtype=np.int64).reshape(-1, 1)


def _full_chunks(total: int) -> int:
    """Return the chunks of 64 frames before the last one."""
    return max(total - 1, 0) // CHUNK


def _steps(total: int) -> Indices:
    """Return the 32 steps within a chunk of a video of `total` frames."""
    return np.linspace(0, min(total, CHUNK) - 1, STEPS).astype(np.int64)


def _spread(last: int, count: int) -> Indices:
    """Return `count` whole numbers from 0 to `last`, evenly spread; for a count of 1, the middle."""
    if count == 1:
        return np.array([last // 2], dtype=np.int64)
    return np.linspace(0, last, count).round().astype(np.int64)
