"""Compression-RQ-VQA (challenge rank 2): a trained Swin beside five frozen extractors, and one affine map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe
from cvqa_models.weights import load_exact


class CompressionRQVQA(QualityModule):
    """Average each branch over time, concatenate, and apply two linear layers without an activation between them.

    RQ-VQA (Sun et al., CVPRW 2024) with the features of a compression network. Its authors score each key frame and
    average the scores; averaging the features first is the same function, because the head is affine, and lets the
    branches have different numbers of tokens. They published no group-wise loss; here training goes by groups.

    Args:
        spatial: Trained key-frame features; the authors' are `SwinAttention`.
        motion: The authors' are the fast pathway of `SlowFast`.
        language: The authors' are `QAlign`.
        agreement: The authors' are `Liqe`.
        fragments: The authors' are `FastVqa`.
        loss: Group-wise loss.
        compression: The authors' are `Compression`; null for RQ-VQA as it was before the challenge.
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
        loss: GroupLoss,
        *,
        compression: Branch | None = None,
        recipe: Recipe = Recipe(lr_head=1e-5, weight_decay=1e-7, warmup=0.0),  # noqa: B008 - frozen
        hidden: int = 128,
        weights: str | None = None,
    ) -> None:
        # The order is that of the published head's inputs; where compression stands is not known.
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
        if weights is not None:
            load_exact(self.quality, weights, rename=_head_key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, D) of each branch."""
        vector = torch.cat([features[name].float().mean(dim=1) for name in self.each_branch()], dim=1)
        # Scores of a group lie close together; half precision would merge them.
        with torch.autocast(vector.device.type, enabled=False):
            score: Tensor = self.quality(vector).squeeze(1)
        return score


def _head_key(key: str) -> str | None:
    """Return the name inside the head of a key of the published checkpoint, None for a key of another part."""
    _, found, name = key.rpartition("quality.")
    return name if found else None
