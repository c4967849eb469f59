"""MinimalisticVQA: an image network on key frames, with motion features; a linear score per frame, and their mean."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.rescaled import Rescaled
from cvqa_models.nn.heads import linear_head
from cvqa_models.nn.rescaling import FittedLogistic
from cvqa_models.training.module import Recipe
from cvqa_models.weights.exact import load_exact

SPATIAL = "feature_extraction."


class MinimalisticVqa(Rescaled):
    """Score key frames by their content and the motion in their second; the mean is the video's score.

    Sun et al., "Analysis of Video Quality Datasets via Design of Minimalistic Video Quality Models", TPAMI 2024: its
    models VII to X with `TorchvisionSwin` (Swin-B); VIII and X also have `SlowFast`'s fast pathway. Models I to VI are
    the same with a ResNet-50, which `Timm` gives; their published files have other key names and cannot be read.

    Args:
        spatial: Tokens of frames.
        motion: Tokens of the seconds to which these frames belong; null for none.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of a published checkpoint for the head; `spatial` reads its network from the same file.
            Null for an untrained head.
        rescale_path: The curve that the authors publish with it, a NumPy file with four numbers; null to report the raw
            score.
    """

    def __init__(
        self,
        spatial: Branch,
        motion: Branch | None = None,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(lr_head=1e-5, weight_decay=0.0),  # noqa: B008 - frozen
        weights: str | None = None,
        rescale_path: str | None = None,
    ) -> None:
        branches = {"spatial": spatial} if motion is None else {"spatial": spatial, "motion": motion}
        super().__init__(branches, loss, recipe, None if rescale_path is None else FittedLogistic())
        self.quality = linear_head(sum(branch.dim for branch in branches.values()))
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.quality, weights, rename=head_key)
        self.read_curve(rescale_path)

    def raw(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean score of the frames, shape (B,), from tokens (B, N, D) of each branch, of equal N."""
        return self.maps(features)["quality"].mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality`, the raw score of each frame, float32, (B, N)."""
        return {"quality": self.quality(torch.cat([features[name] for name in self.branches], dim=2)).squeeze(2)}


def head_key(key: str) -> str | None:
    """Return the head's name of a key of a published checkpoint; None for keys of the image network."""
    return None if key.startswith(SPATIAL) else key.removeprefix("quality.")
