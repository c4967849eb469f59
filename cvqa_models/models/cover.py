"""COVER (challenge rank 3): semantics gates technical and aesthetic quality, and three scores add up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe
from cvqa_models.nn.cross_gating import CrossGating
from cvqa_models.types import Batch
from cvqa_models.weights import load_exact

_BACKBONES = ("technical_backbone.", "aesthetic_backbone.", "semantic_backbone.")


class Cover(QualityModule):
    """Score every position of three branches; the score of a video is the sum of the three mean scores.

    He et al., "COVER: A Comprehensive Video Quality Evaluator", CVPRW 2024. As there, each branch learns from `mos` by
    itself and the sum has no loss of its own; the loss here is group-wise, theirs went over random batches.

    Args:
        semantic: One token per moment; the authors' is `ClipFrames`.
        technical: Tokens of a square map at each of the same moments; the authors' is `Swin3DMap`.
        aesthetic: As `technical`; the authors' is `ConvNeXt3DMap`.
        loss: Group-wise loss.
        recipe: How the model is optimised.
        weights: File or name of a COVER checkpoint for gates and heads; null to train them from scratch. The branches
            have weights of their own.
    """

    def __init__(
        self,
        semantic: Branch,
        technical: Branch,
        aesthetic: Branch,
        loss: GroupLoss,
        *,
        recipe: Recipe = Recipe(lr_backbone=1e-4, weight_decay=0.05),  # noqa: B008 - frozen
        weights: str | None = None,
    ) -> None:
        # Semantic last: the pages of CLIP's file are then not in memory yet while the wide maps of the others are.
        branches = {"technical": technical, "aesthetic": aesthetic, "semantic": semantic}
        dims = {name: branch.dim for name, branch in branches.items()}
        if len(set(dims.values())) > 1:
            raise ValueError(f"The branches have widths {dims}; expected one width, because the gates multiply them.")
        super().__init__(branches, loss, recipe)
        self.fusion = CrossGating(semantic.dim)
        if weights is not None:
            load_exact(self.fusion, weights, rename=lambda key: None if key.startswith(_BACKBONES) else key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the sum of the three branch scores, float32, shape (B,), from tokens (B, N, D) of each branch."""
        return torch.stack(list(self.details(features).values())).sum(dim=0)

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each branch, shape (B,) each."""
        return {name: scores.mean(dim=(1, 2, 3)) for name, scores in self.maps(features).items()}

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each moment and position by branch, float32, (B, T, rows, columns).

        `technical` shows the fragments' places in the frame, since they are spliced in the frame's own order;
        `semantic` has one position.

        Raises:
            ValueError: If the tokens of a branch are no square maps at the moments of the semantic branch.
        """
        semantic = features["semantic"].float()
        moments = semantic.shape[1]
        places = [_at_moments(name, features[name].float(), moments) for name in ("technical", "aesthetic")]
        # Scores of a group lie close together; half precision would merge them.
        with torch.autocast(semantic.device.type, enabled=False):
            maps = self.fusion(semantic, *places)
        return {name: scores.unflatten(2, (math.isqrt(scores.shape[2]), -1)) for name, scores in maps.items()}

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of the three branch scores, each compared with `mos`, and the number of valid groups."""
        parts = [self.loss(score, batch.mos, batch.group, batch.weight) for score in self.details(features).values()]
        return torch.stack([total for total, _ in parts]).sum(), parts[0][1]


def _at_moments(name: str, tokens: Tensor, moments: int) -> Tensor:
    """Return tokens (B, N, D) as (B, `moments`, P, D)."""
    places = tokens.shape[1] // moments
    if tokens.shape[1] != moments * places or math.isqrt(places) ** 2 != places or not places:
        raise ValueError(
            f"`{name}` has {tokens.shape[1]} tokens for {moments} moments of `semantic`; expected a square map at each "
            "moment. Give both branches the same number of segments."
        )
    placed: Tensor = tokens.unflatten(1, (moments, places))
    return placed
