"""Compression-RQ-VQA (challenge rank 2): a trained Swin and five frozen extractors, joined by one affine map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.weights.exact import load_exact


class CompressionRqVqa(QualityModule):
    """Average each branch over time, concatenate, and apply two linear layers without an activation between them.

    RQ-VQA (Sun et al., CVPRW 2024) with the features of a compression network. Its authors score each key frame and
    average the scores. To average the features first gives the same, because the head is affine, and branches may then
    have different numbers of tokens. The authors published no group-wise loss; here the loss is group-wise.

    Args:
        spatial: Trained key-frame features; the authors use `SwinAttention`.
        motion: Motion features; the authors use the fast pathway of `SlowFast`.
        language: Features of a language model; the authors use `QAlign`.
        agreement: Agreement with sentences; the authors use `Liqe`.
        fragments: Features of fragments; the authors use `FastVqa`.
        loss: The loss; null is the usual `GroupLoss`.
        compression: Compression features; the authors use `Compression`. Null for RQ-VQA as before the challenge.
        recipe: How the model is optimised.
        hidden: Width between the two linear layers.
        weights: File of an RQ-VQA checkpoint for the head; null to train it from scratch.
    """

    def __init__(
        self,
        spatial: Branch,
        motion: Branch,
        language: Branch,
        agreement: Branch,
        fragments: Branch,
        loss: Loss | None = None,
        *,
        compression: Branch | None = None,
        recipe: Recipe = Recipe(lr_head=1e-5, weight_decay=1e-7, warmup=0.0),  # noqa: B008 - frozen
        hidden: int = 128,
        weights: str | None = None,
    ) -> None:
        # The order is that of the published head's inputs; the place of compression is not known.
        branches = {
            "spatial": spatial,
            "motion": motion,
            "language": language,
            "agreement": agreement,
            "fragments": fragments,
        }
        if compression is not None:
            branches["compression"] = compression
        super().__init__(branches, loss, recipe)
        self.quality = nn.Sequential(
            nn.Linear(sum(branch.dim for branch in branches.values()), hidden), nn.Linear(hidden, 1)
        )
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.quality, weights, rename=_head_key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, D) of each branch."""
        vector = torch.cat([features[name].mean(dim=1) for name in self.each_branch()], dim=1)
        score: Tensor = self.quality(vector).squeeze(1)
        return score


def _head_key(key: str) -> str | None:
    """Return the head's name of a key of the published checkpoint; None for keys of other parts."""
    _, found, name = key.rpartition("quality.")
    return name if found else None
