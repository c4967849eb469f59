"""Technical quality at native resolution: Swin3D over short runs of fragments (COVER's technical branch)."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.video.frames import Sampling, UniformClips
from cvqa_models.video.pixels import Fragments
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class Swin3DMap(Branch):
    """Tokens of a map: one per moment, row and column, of native patches spliced into a small frame (COVER, DOVER).

    A moment is a run of two frames, one from each of as many equal parts of the video. Token
    (moment * rows + row) * columns + column belongs to a square of 32 pixels, with the defaults to one patch.

    Args:
        weights: File or name of a COVER or DOVER checkpoint; null for an untrained network.
        num_moments: Moments per video.
        stride: Step between the two frames of a moment.
        grid: Rows and columns of patches.
        patch: Side of a patch in pixels.
        width: Channels of the first stage.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        sampling: `official` draws moments and patches at random also in evaluation, there with one seed per length for
            the moments, other than those of COVER's other branches, and one for all patches.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        num_moments: int = 20,
        stride: int = 2,
        grid: tuple[int, int] = (7, 7),
        patch: int = 32,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        sampling: Sampling = "even",
        frozen: bool = False,
    ) -> None:
        net = Swin3D(dim=width, depths=depths, heads=heads)
        runs = UniformClips(num_moments, 2, stride, random=not frozen, sampling=sampling, seed=1)
        pixels = Fragments(grid, patch, random=not frozen, sampling=sampling)
        super().__init__(View(Spliced(runs), pixels), net.dim, frozen=frozen)
        self.net = net
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        if weights is not None:
            load_exact(self.net, weights, prefix="technical_backbone.")

    def tokens(self, x: Tensor) -> Tensor:
        """Return the map of the one clip, (B, num_moments * rows * columns, D), from `x` (B, 1, 3, T, H, W)."""
        maps: Tensor = self.net(self.normalise(x.squeeze(1)))
        return maps.flatten(2).transpose(1, 2)
