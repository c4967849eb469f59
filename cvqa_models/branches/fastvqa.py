"""Technical quality at native resolution over longer clips: FAST-VQA's backbone."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_chunks
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.video.frames import Sampling, UniformClips
from cvqa_models.video.pixels import Fragments
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class FastVqa(Branch):
    """Tokens of clips of native patches spliced into a small frame: the mean of FAST-VQA's map over time and space.

    Wu et al., "FAST-VQA", ECCV 2022, in the setting FAST-VQA-B 1*4. The patches keep their places in all frames of a
    clip.

    Args:
        weights: File or name of a FAST-VQA checkpoint; null for an untrained network.
        num_clips: Clips per video.
        length: Frames per clip.
        stride: Step between frames.
        grid: Rows and columns of patches.
        patch: Side of a patch in pixels.
        width: Channels of the first stage.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        sampling: `official` draws clips and patches at random also in evaluation, there with one seed per length for
            the clips and one for all patches.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        num_clips: int = 4,
        length: int = 32,
        stride: int = 2,
        grid: tuple[int, int] = (7, 7),
        patch: int = 32,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        sampling: Sampling = "even",
        frozen: bool = True,
    ) -> None:
        net = Swin3D(dim=width, depths=depths, heads=heads, adaptive_window=True)
        view = View(
            UniformClips(num_clips, length, stride, random=not frozen, sampling=sampling),
            Fragments(grid, patch, random=not frozen, sampling=sampling),
        )
        super().__init__(view, net.dim, frozen=frozen)
        self.net = net
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        if weights is not None:
            load_exact(self.net, weights, prefix="fragments_backbone.")

    def tokens(self, x: Tensor) -> Tensor:
        """Return one vector per clip, (B, N, D), from `x` (B, N, 3, T, H, W); clips pass one by one to spare memory."""
        return in_chunks(self._pooled, x, 1)

    def _pooled(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.net(self.normalise(clips))
        return maps.mean(dim=(2, 3, 4))
