"""Compression damage at native resolution, by the compact network that this project trains itself."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.nn.compression_level import CompressionLevelNet
from cvqa_models.video.frames import UniformClips
from cvqa_models.video.pixels import Fragments
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class CompressionLevel(Branch):
    """Tokens of compression damage: one per pair of consecutive frames, from a grid of native patches (ours).

    Args:
        weights: File or name of trained weights; null for an untrained network.
        width: Channels of the network's first stage; `dim` is six times that.
        clips: Pairs of frames, spread evenly over the video.
        grid: Rows and columns of patches per frame.
        patch: Side of a patch in pixels.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        width: int = 32,
        clips: int = 4,
        grid: tuple[int, int] = (3, 4),
        patch: int = 112,
        frozen: bool = False,
    ) -> None:
        view = View(UniformClips(count=clips, length=2, stride=1), Fragments(grid, patch, random=not frozen))
        super().__init__(view, 6 * width, frozen=frozen)
        self.patch = patch
        self.net = CompressionLevelNet(width)
        if weights is not None:
            load_exact(self.net, weights)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the mean over patches of each clip, shape (B, N, D), from `x` of shape (B, N, C, 2, H, W)."""
        b, n = x.shape[:2]
        patches = rearrange(x, "b n c t (i p) (j q) -> (b n i j) c t p q", p=self.patch, q=self.patch)
        tokens: Tensor = rearrange(self.net(patches), "(b n k) d -> b n k d", b=b, n=n).mean(2)
        return tokens
