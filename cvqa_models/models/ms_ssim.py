"""MS-SSIM, the challenge's full-reference baseline: frame by frame, the mean over the video."""

from __future__ import annotations

from cvqa_models.branches.ms_ssim import MsSsimFrames
from cvqa_models.models.frame_mean import FrameMean
from cvqa_models.video.frames import Sampling


class MsSsim(FrameMean):
    """Mean MS-SSIM of the luma of frames against the source's.

    Args:
        num_frames: Frames per video, spread evenly.
        sampling: `official` takes every frame of the video, so that only videos of equal length share a batch.
    """

    def __init__(self, *, num_frames: int = 32, sampling: Sampling = "even") -> None:
        super().__init__(MsSsimFrames(num_frames=num_frames, sampling=sampling))
