"""The compression level: how much an encoder has damaged a video, on VMAF's scale, from its pixels alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_damage import CompressionDamage
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.shipped_level import WEIGHTS, LevelScores
from cvqa_models.nn.heads import FcHead, Norm
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.exact import load_exact


class CompressionLevelModel(LevelScores, QualityModule):
    """Score each clip between 0 and 100, and average over time (ours).

    It is trained on encodes made by `cvqa build levels`. Their labels are VMAF, so it says nothing about what people
    like in a picture. Trained branches of quality systems start from its weights.

    Args:
        level: Branch that sees the video.
        loss: The loss; null is the usual `GroupLoss`, whose `mse` brings scores to the scale of the labels.
        recipe: How the model is optimised.
        hidden: Width of the head's hidden layer; null for a purely linear head, as the shipped one is.
        norm: `layer`, or `standard` to standardise features over training videos, which needs a frozen branch.
        weights: File or name of weights for the head; null to train it from scratch.
    """

    def __init__(
        self,
        level: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        hidden: int | None = 64,
        norm: Norm = "layer",
        weights: str | None = None,
    ) -> None:
        super().__init__({"level": level}, loss, recipe)
        self.standardise = norm == "standard" and weights is None
        self.head = FcHead([level.dim], hidden, dropout=0.0, norm=norm)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.head, weights, prefix="head.")

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Set the statistics of standardised inputs from the training videos, and let levels start at their mean label.

        A head that came from a file keeps its own statistics.
        """
        if not self.standardise:
            return
        tokens, labels = [], []
        for batch in batches:
            used = (batch.weight > 0) & ~batch.mos.isnan()
            tokens.append(self.features(batch)["level"][used].mean(1))
            labels.append(batch.mos[used])
        self.head.fit([torch.cat(tokens)], (torch.cat(labels).mean() / 100).logit(eps=1e-3))


def shipped_model(weights: str = WEIGHTS) -> CompressionLevelModel:
    """Return the trained model in `checkpoints/` as a module that can be saved, in eval mode.

    To score only, take `shipped_level`, which is the same without Lightning, and follows the curve of the file.

    Args:
        weights: File or name of other weights for it, as `cvqa export` writes them.

    Raises:
        FileNotFoundError: If the file is not there; the message says where to get it.
    """
    branch = CompressionDamage(weights, frozen=True)
    return CompressionLevelModel(branch, hidden=None, norm="standard", weights=weights).eval()
