"""How alike the luma of a frame and of its source are, at five scales: MS-SSIM."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_chunks
from cvqa_models.branches.piq import measure_pair
from cvqa_models.video.dense import EveryFrame
from cvqa_models.video.frames import Sampling
from cvqa_models.video.pixels import Native
from cvqa_models.video.view import View


class MsSsimFrames(Branch):
    """Tokens of single frames: MS-SSIM of the luma against the source's, at most 1.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", 2003, as PIQ has it:
    torchmetrics also counts windows over a mirrored border at the last scale, which moves a score by about 1e-4. Luma
    is BT.709's.

    Args:
        num_frames: Frames per video, spread evenly.
        sampling: `official` takes every frame of the video, so that only videos of equal length share a batch.
    """

    luma: Tensor

    def __init__(self, *, num_frames: int = 32, sampling: Sampling = "even") -> None:
        super().__init__(View(EveryFrame(num_frames, sampling), Native(), with_reference=True), 1, frozen=True)
        luma = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1) / 255
        self.register_buffer("luma", luma, persistent=False)

    def tokens(self, x: Tensor) -> Tensor:
        """Return MS-SSIM of each frame, shape (B, N, 1), from `x` of shape (B, N, 6, 1, H, W).

        Raises:
            ValueError: If frames have a side below 161 pixels, or PIQ is not installed.
        """
        return in_chunks(self._compare, x, 1)

    def _compare(self, pair: Tensor) -> Tensor:
        distorted, source = (
            (frame.to(self.luma.dtype) * self.luma).sum(1, keepdim=True) for frame in pair.squeeze(2).chunk(2, dim=1)
        )
        # A sum of three products can be a bit above white.
        return measure_pair("ms_ssim", distorted.clamp(max=1), source.clamp(max=1))[:, None]
