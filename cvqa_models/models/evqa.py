"""E-VQA (NTIRE 2025, efficient track): a Swin-T for resized frames and one for native fragments; a score per frame."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.heads import linear_head
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.weights.exact import load_exact

AESTHETIC, DISTORTION = "aesthetics_feature_extraction.", "distortion_feature_extraction."


class Evqa(QualityModule):
    """Score single frames by their look as a whole and by distortion in detail; the video's score is the mean.

    Sun et al., "An Empirical Study for Efficient Video Quality Assessment", CVPRW 2025. Scores have no fixed scale: the
    authors train with PLCC, and apply no curve in the test.

    Args:
        aesthetic: Tokens of whole frames; the authors use `TorchvisionSwin` on frames of 384 x 384.
        distortion: Tokens of the same frames; the authors use `TorchvisionSwin` on 12 x 12 fragments of 32 x 32.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of an E-VQA checkpoint for the head; the branches read the same file by their `prefix`.
            Null for an untrained head.
    """

    def __init__(
        self,
        aesthetic: Branch,
        distortion: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(lr_head=1e-5, weight_decay=0.0),  # noqa: B008 - frozen
        weights: str | None = None,
    ) -> None:
        super().__init__({"aesthetic": aesthetic, "distortion": distortion}, loss, recipe)
        self.quality = linear_head(aesthetic.dim + distortion.dim)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.quality, weights, rename=head_key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, D) of both branches, of equal N."""
        return self.maps(features)["quality"].mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality`, the score of each frame, float32, (B, N)."""
        return {"quality": self.quality(torch.cat([features["aesthetic"], features["distortion"]], dim=2)).squeeze(2)}


def head_key(key: str) -> str | None:
    """Return the head's name of a key of an E-VQA checkpoint; None for keys of the two trunks."""
    return None if key.startswith((AESTHETIC, DISTORTION)) else key.removeprefix("quality.")
