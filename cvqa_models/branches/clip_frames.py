"""What single frames show: CLIP's image embedding without positions (COVER's semantic branch)."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_chunks
from cvqa_models.nn.clip_tower import ClipTower
from cvqa_models.video.frames import Sampling, UniformClips
from cvqa_models.video.pixels import Resize
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact

FRAMES_PER_PASS = 1  # 1296 patches each; more frames at once take more memory and are not faster

# On the scale 0 to 255; COVER rounds CLIP's constants to these.
MEAN = (122.77, 116.75, 104.09)
STD = (68.50, 66.63, 70.32)


class ClipFrames(Branch):
    """Tokens of single frames: CLIP's image embedding of unit length, without positional embedding.

    He et al., "COVER", CVPRW 2024. The frame is resized to a square whatever its shape. Without positions the tower
    takes more patches than it was trained for and does not know how they are arranged.

    Args:
        weights: File or name of OpenAI's CLIP in open_clip's layout; null for an untrained network.
        num_frames: Frames per video, one from each of as many equal parts.
        stride: Step between the frames that the other branches of COVER take from a part; here it bounds a random draw.
        size: Side of the resized frame in pixels.
        width: Width of a token inside the tower.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        dim: Width of the embedding.
        sampling: `official` draws the frames at random also in evaluation, there with a seed per length of the video.
        frozen: Whether the weights are fixed, as in COVER.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        num_frames: int = 20,
        stride: int = 2,
        size: int = 512,
        width: int = 1024,
        depth: int = 24,
        heads: int = 16,
        patch: int = 14,
        dim: int = 768,
        sampling: Sampling = "even",
        frozen: bool = True,
    ) -> None:
        view = View(UniformClips(num_frames, 1, stride, random=not frozen, sampling=sampling), Resize(size, size))
        super().__init__(view, dim, frozen=frozen)
        # Without storage of its own until the file gives it: 1.2 GB that never exist twice.
        with nullcontext() if weights is None else torch.device("meta"):
            self.net = ClipTower(width=width, depth=depth, heads=heads, patch=patch, dim=dim, side=None)
        self.normalise = Normalise([value / 255 for value in MEAN], [value / 255 for value in STD])
        if weights is not None:
            load_exact(self.net, weights, prefix="visual.", unused=("positional_embedding",))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one embedding of unit length per frame, (B, N, `dim`), from `x` (B, N, 3, 1, H, W)."""
        return in_chunks(self._embedded, x, FRAMES_PER_PASS)

    def _embedded(self, frames: Tensor) -> Tensor:
        return F.normalize(self.net(self.normalise(frames).squeeze(2)), dim=-1)
