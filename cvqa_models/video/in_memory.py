"""Use frames in memory as a video: they fill views without a file to decode."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from torch import Tensor

from cvqa_models.video.changes import Changes
from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.info import VideoInfo
from cvqa_models.video.plan import Clip, Picture, Plan
from cvqa_models.video.scaling import Scaler
from cvqa_models.video.view import View

NAME = "frames in memory"


@dataclass(frozen=True)
class InMemory:
    """Frames at a constant rate.

    Attributes:
        frames: RGB, uint8, shape (T, H, W, 3).
        fps: Frames per second.
    """

    frames: NDArray[np.uint8]
    fps: float

    @property
    def info(self) -> VideoInfo:
        """Return what a decoder would find out about a file with these frames."""
        count, height, width, _ = self.frames.shape
        times = tuple(index / self.fps for index in range(count))
        return VideoInfo(NAME, "memory", FrameTimes(count, self.fps, times), height, width)

    def iter_clips(
        self, views: Sequence[View], changes: Changes | None = None, display: int | None = None
    ) -> Iterator[Clip]:
        """Yield (view key, clip index, uint8 clip (C, T, H, W)) as a reader of files does.

        Args:
            views: Views of different keys.
            changes: Receives every frame, to find cuts and repeats.
            display: Lines of the screen; None keeps the lines of the frames.

        Raises:
            ValueError: If a view needs a reference beside the video.
        """
        if any(view.with_reference for view in views):
            raise ValueError("Frames in memory have no source beside them; give the video and its source as files.")
        info = self.info
        plans, scaler = [Plan(view, info, None, display) for view in views], Scaler("bt709")
        wanted = {index for plan in plans for index in plan.uses}
        if changes is not None:
            changes.restart(info.frame_times)
            wanted = set(range(len(self.frames)))
        for index in sorted(wanted):
            # The scaler needs rows without gaps in memory, which a slice of an array may not have.
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(self.frames[index]), format="rgb24")
            picture = Picture(frame, scaler)
            if changes is not None:
                changes.see(index, frame)
            for plan in plans:
                if index in plan.uses:
                    yield from plan.fill(index, [picture])


def in_memory(frames: Any, fps: float | None) -> InMemory:
    """Return checked frames as a video.

    Args:
        frames: RGB, uint8, shape (T, H, W, 3): an array of NumPy, or a tensor on any device.
        fps: Frames per second.

    Raises:
        ValueError: If the type, the shape or the rate is wrong.
    """
    array = frames.detach().cpu().numpy() if isinstance(frames, Tensor) else frames
    shape = "x".join(map(str, array.shape))
    if array.dtype != np.uint8:
        raise ValueError(f"Frames are of type {array.dtype}; expected uint8, RGB from 0 to 255.")
    if array.ndim != 4 or array.shape[3] != 3 or not array.size:
        raise ValueError(f"Frames have the shape {shape}; expected (T, H, W, 3), with one frame or more.")
    if fps is None or not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"`fps` is {fps}; frames in memory need their rate, as in `fps=25`.")
    return InMemory(array, float(fps))
