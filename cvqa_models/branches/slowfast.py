"""Motion of one-second chunks, by SlowFast."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.slowfast import CLASSIFIER_KEYS, Pathway, SlowFastNet
from cvqa_models.video.frame_rules import Chunks
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

# PyTorchVideo's constants for its Kinetics checkpoints.
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


def default_view(num_clips: int = 8) -> View:
    """Return RQ-VQA's view: the first 32 frames of seconds, resized to 224 x 224; here seconds are spread evenly."""
    return View(Chunks(num_clips, 32), Resize(224, 224))


class SlowFast(Branch):
    """Tokens of one-second chunks: the mean over time and space of SlowFast's last maps.

    The defaults are SlowFast R50 8x8 as RQ-VQA and SimpleVQA use it: 256 numbers per chunk for the fast pathway, 2048
    for the slow one, 2304 for both, slow first.

    Args:
        weights: File or name of Kinetics weights, such as `slowfast_r50_k400`; null for an untrained network.
        pathway: Maps to use; with `fast`, the slow pathway is not built.
        view: Clips of a multiple of 4 frames; null for `default_view`.
        num_clips: Chunks per video if no `view` is given; null for 8.
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
        view: View | None = None,
        num_clips: int | None = None,
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        ratio: int = 8,
        frozen: bool = False,
    ) -> None:
        slow, fast = 32 * width, 32 * (width // ratio)
        dim = {"slow": slow, "fast": fast, "both": slow + fast}[pathway]
        view = chosen_view(view, num_clips, default_view, multiple_of=4)
        super().__init__(view, dim, frozen=frozen, variant=pathway)
        self.normalise = Normalise(MEAN, STD)
        self.net = SlowFastNet(pathway, depth=depth, width=width, ratio=ratio)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            # The whole network without storage: a file may also hold its other keys, beyond the pathway that is built.
            with torch.device("meta"):
                whole = SlowFastNet("both", depth=depth, width=width, ratio=ratio)
            load_exact(self.net, weights, unused=CLASSIFIER_KEYS | whole.state_dict().keys())

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per chunk, shape (B, N, D), from `x` of shape (B, N, 3, T, H, W)."""
        return in_turns(self._pooled, x, None if self.training else x.shape[1])

    def _pooled(self, clips: Tensor) -> Tensor:
        return torch.cat([features.mean((2, 3, 4)) for features in self.net(self.normalise(clips))], dim=1)
