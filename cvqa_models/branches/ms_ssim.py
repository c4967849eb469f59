"""MS-SSIM: how similar the luma of a frame and of its source are, at five scales."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.piq import measure_pair
from cvqa_models.branches.views import chosen_view
from cvqa_models.video.dense import SpreadFrames
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View


def default_view(num_clips: int = 32) -> View:
    """Return our view: single frames spread evenly over the video, in its own size, with those of the source."""
    return View(SpreadFrames(num_clips), Native(), with_reference=True)


class MsSsimFrames(Branch):
    """Tokens of single frames: MS-SSIM of their luma against that of the source, at most 1.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", 2003, computed by PIQ.
    torchmetrics differs by about 1e-4, because at the last scale it also counts windows over a mirrored border. Luma is
    that of BT.709.

    Args:
        view: Single frames, with those of the source; null for `default_view`. `OfficialEveryFrame` compares all
            frames, so only videos of equal length can share a batch.
        num_clips: Frames per video if no `view` is given; null for 32.
    """

    luma: Tensor

    def __init__(self, *, view: View | None = None, num_clips: int | None = None) -> None:
        super().__init__(chosen_view(view, num_clips, default_view), 1, frozen=True)
        luma = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1) / 255
        self.register_buffer("luma", luma, persistent=False)

    def tokens(self, x: Tensor) -> Tensor:
        """Return MS-SSIM of each frame, shape (B, N, 1), from `x` of shape (B, N, 6, 1, H, W).

        Raises:
            ValueError: If frames have a side below 161 pixels, or PIQ is not installed.
        """
        return in_turns(self._compare, x, 1)

    def _compare(self, pair: Tensor) -> Tensor:
        distorted, source = (
            (frame.to(self.luma.dtype) * self.luma).sum(1, keepdim=True) for frame in pair.squeeze(2).chunk(2, dim=1)
        )
        # A sum of three products can be slightly above white.
        return measure_pair("ms_ssim", distorted.clamp(max=1), source.clamp(max=1))[:, None]
