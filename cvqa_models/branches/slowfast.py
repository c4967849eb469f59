"""Motion of one-second chunks, by SlowFast."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_chunks
from cvqa_models.nn.slowfast import CLASSIFIER_KEYS, Pathway, SlowFastNet
from cvqa_models.video.frames import Chunks, Sampling
from cvqa_models.video.pixels import Resize
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact

# PyTorchVideo's constants for its Kinetics checkpoints.
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


class SlowFast(Branch):
    """Tokens of one-second chunks: the mean over time and space of SlowFast's last maps.

    The defaults are SlowFast R50 8x8 as RQ-VQA and SimpleVQA use it: 256 numbers per chunk for the fast pathway, 2048
    for the slow one, 2304 for both, slow first.

    Args:
        weights: File or name of Kinetics weights, such as `slowfast_r50_k400`; null for an untrained network.
        pathway: Maps to use; `fast` does not build the slow pathway at all.
        num_chunks: Chunks per video, spread evenly.
        length: Consecutive frames per chunk, a multiple of 4.
        size: Side in pixels to which frames are resized, whatever their aspect ratio.
        sampling: `official` takes the first `num_chunks` seconds instead.
        depth: Residual blocks of the four stages.
        width: Channels of the slow stem.
        ratio: How many times narrower the fast pathway is.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        pathway: Pathway = "fast",
        num_chunks: int = 8,
        length: int = 32,
        size: int = 224,
        sampling: Sampling = "even",
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        ratio: int = 8,
        frozen: bool = False,
    ) -> None:
        if length % 4:
            raise ValueError(
                f"`length` is {length}, but SlowFast takes a multiple of 4 frames; take {length // 4 * 4 + 4}"
            )
        slow, fast = 32 * width, 32 * (width // ratio)
        dim = {"slow": slow, "fast": fast, "both": slow + fast}[pathway]
        view = View(Chunks(num_chunks, length, sampling=sampling), Resize(size, size))
        super().__init__(view, dim, frozen=frozen, variant=pathway)
        self.normalise = Normalise(MEAN, STD)
        self.net = SlowFastNet(pathway, depth=depth, width=width, ratio=ratio)
        if weights is not None:
            # The whole network without storage: its keys are what a file may hold beyond the pathway that is built.
            with torch.device("meta"):
                whole = SlowFastNet("both", depth=depth, width=width, ratio=ratio)
            load_exact(self.net, weights, unused=CLASSIFIER_KEYS | whole.state_dict().keys())

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per chunk, shape (B, N, D), from `x` of shape (B, N, 3, T, H, W)."""
        return in_chunks(self._pooled, x, None if self.training else x.shape[1])

    def _pooled(self, clips: Tensor) -> Tensor:
        return torch.cat([features.mean((2, 3, 4)) for features in self.net(self.normalise(clips))], dim=1)
