"""Compression damage at native resolution, by the compact network that this project trains itself."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_chunks
from cvqa_models.nn.compression_level import CompressionLevelNet
from cvqa_models.video.frames import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class CompressionLevel(Branch):
    """Tokens of compression damage: one per pair of consecutive frames, from a grid of native patches (ours).

    Args:
        weights: File or name of trained weights, such as `compression_level`, which ships with the project; null for
            an untrained network.
        width: Channels of the network's first stage; `dim` is six times that. The shipped network has 32.
        clips: Pairs of frames, spread evenly over the video.
        grid: Rows and columns of patches per frame.
        patch: Side of a patch in pixels.
        window: Side of the part of each patch that training sees, at another place in each step and turned over by
            chance, the same for all videos of a batch, so that encodes still show the same (with `videos_per_pass`,
            for those of a pass); null for all of it as it is. Damage knows no place and no side, and decoded patches
            last for many steps.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If `window` is below 1 or larger than `patch`.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        width: int = 32,
        clips: int = 8,
        grid: tuple[int, int] = (3, 4),
        patch: int = 112,
        window: int | None = None,
        frozen: bool = False,
    ) -> None:
        if window is not None and not 1 <= window <= patch:
            raise ValueError(f"`window` is {window}; expected 1 to {patch}, the size of `patch`, or null.")
        random = not frozen
        view = View(UniformClips(clips, 2, 1, random=random), NativePatches(grid, patch, random=random))
        super().__init__(view, 6 * width, frozen=frozen)
        self.patch, self.window = patch, window
        self.net = CompressionLevelNet(width)
        if weights is not None:
            load_exact(self.net, weights, rename=pretrained_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per clip, shape (B, N, D), from `x` of shape (B, N, C, 2, H, W)."""
        return in_chunks(self._described, x, None if self.training else 1)

    def _described(self, clips: Tensor) -> Tensor:
        patches = rearrange(clips, "m c t (i p) (j q) -> m (i j) c t p q", p=self.patch, q=self.patch)
        if self.training and self.window is not None:
            patches = _some_window(patches, self.window)
        described: Tensor = self.net(patches)
        return described


def _some_window(patches: Tensor, side: int) -> Tensor:
    """Return the same random square of all patches (..., H, W), in one of its eight orientations, (..., side, side)."""
    top, left = torch.randint(patches.shape[-1] - side + 1, (2,)).tolist()
    mirror, turns = int(torch.randint(2, ())), int(torch.randint(4, ()))
    square = patches[..., top : top + side, left : left + side]
    return torch.rot90(square.flip(-1) if mirror else square, turns, (-2, -1))


def pretrained_key(key: str) -> str | None:
    """Return the network's own name of a key in a pre-trained model, whose branch is `level`; None for its head."""
    return None if key.startswith("head.") else key.removeprefix("branches.level.net.")
