"""The compression level: how much an encoder has damaged a video, on VMAF's scale, from its pixels alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe
from cvqa_models.nn.heads import FCHead, Norm
from cvqa_models.types import Batch
from cvqa_models.weights import load_exact

SHIPPED = "compression_level"
MEASURES = "compression damage on VMAF's scale from 0 to 100 (100 is clean), not human opinion"


class CompressionLevelModel(QualityModule):
    """Score each clip between 0 and 100, and average over time (ours).

    It is trained on encodes made by `cvqa build levels`: labels are VMAF, so it says nothing about what people like in
    a picture. Trained branches of quality systems start from its weights.

    Args:
        level: What sees the video.
        loss: Group-wise loss; `mse` calibrates the scores to the labels' own scale.
        recipe: How the model is optimised.
        hidden: Width of the head's hidden layer; null for a purely linear head, as the shipped one is.
        norm: `layer`, or `standard` to standardise features over training videos, when the branch is fixed.
        weights: File or name of weights for the head; null to train it from scratch.
    """

    def __init__(
        self,
        level: Branch,
        loss: GroupLoss,
        *,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        hidden: int | None = 64,
        norm: Norm = "layer",
        weights: str | None = None,
    ) -> None:
        super().__init__({"level": level}, loss, recipe)
        self.standardise = norm == "standard" and weights is None
        self.head = FCHead([level.dim], hidden, dropout=0.0, norm=norm)
        if weights is not None:
            load_exact(self.head, weights, prefix="head.")

    def levels(self, tokens: Tensor) -> Tensor:
        """Return one level per clip, float32 in (0, 100), shape (B, N), from tokens of shape (B, N, D)."""
        levels: Tensor = 100 * self.head([tokens.float().flatten(0, 1)]).sigmoid()
        return levels.view(tokens.shape[:2])

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean level of each video, float32, shape (B,), from tokens (B, N, D)."""
        return self.levels(features["level"]).mean(1)

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Set the statistics of standardised inputs from the training videos; levels start at their mean label.

        A head that came from a file keeps its own.
        """
        if not self.standardise:
            return
        tokens, labels = [], []
        for batch in batches:
            used = (batch.weight > 0) & ~batch.mos.isnan()
            tokens.append(self.features(batch)["level"][used].mean(1))
            labels.append(batch.mos[used])
        self.head.fit([torch.cat(tokens)], (torch.cat(labels).mean() / 100).logit(eps=1e-3))


def shipped_model(weights: str = SHIPPED) -> CompressionLevelModel:
    """Return the trained model that lies in `checkpoints/`, in eval mode.

    It looks at more of a video than a model does in training: patches all over the picture, all over the time.

    Args:
        weights: File or name of other weights for it, as `cvqa export` writes them.

    Raises:
        FileNotFoundError: If the file is not there, saying where it is to be found.
    """
    branch = CompressionLevel(weights, frozen=True)
    return CompressionLevelModel(branch, GroupLoss(), hidden=None, norm="standard", weights=weights).eval()
