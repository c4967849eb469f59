"""MS-SSIM, the challenge's full-reference baseline: computed per frame, with the mean over the video."""

from __future__ import annotations

from cvqa_models.branches.ms_ssim import MsSsimFrames
from cvqa_models.models.frame_mean import FrameMean
from cvqa_models.video.view import View


class MsSsim(FrameMean):
    """Mean MS-SSIM of the luma of frames against that of the source.

    Args:
        view: As for `MsSsimFrames`.
        num_clips: As for `MsSsimFrames`.
    """

    def __init__(self, *, view: View | None = None, num_clips: int | None = None) -> None:
        super().__init__(MsSsimFrames(view=view, num_clips=num_clips))
