"""COVER (challenge rank 3): semantic features gate technical and aesthetic ones, and three scores are added."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.views import check_one_clip
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.cross_gating import CrossGating
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.exact import load_exact

_BACKBONES = ("technical_backbone.", "aesthetic_backbone.", "semantic_backbone.")


class Cover(QualityModule):
    """Score every position of three branches; the score of a video is the sum of the three mean scores.

    He et al., "COVER: A Comprehensive Video Quality Evaluator", CVPRW 2024. As there, each branch learns from `mos` by
    itself, and the sum has no loss. Here the loss is group-wise; the authors' loss was over random batches.

    Args:
        semantic: One token per moment; the authors use `ClipFrames`.
        technical: Tokens of a square map at each of the same moments; the authors use `Swin3DMap`.
        aesthetic: As `technical`; the authors use `ConvNeXt3DMap`.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of a COVER checkpoint for gates and heads; null to train them from scratch. The branches
            have their own `weights`.

    Raises:
        ValueError: If the branches differ in width, or one that gives maps sees several clips.
    """

    def __init__(
        self,
        semantic: Branch,
        technical: Branch,
        aesthetic: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(lr_backbone=1e-4, weight_decay=0.05),  # noqa: B008 - frozen
        weights: str | None = None,
    ) -> None:
        # Semantic last: the pages of CLIP's file are then not yet in memory together with the wide maps of the others.
        branches = {"technical": technical, "aesthetic": aesthetic, "semantic": semantic}
        dims = {name: branch.dim for name, branch in branches.items()}
        if len(set(dims.values())) > 1:
            raise ValueError(f"The branches have widths {dims}; expected one width, because the gates multiply them.")
        for branch in (technical, aesthetic):
            if branch.view is not None:
                check_one_clip(branch.view)
        super().__init__(branches, loss, recipe)
        self.fusion = CrossGating(semantic.dim)
        weights = self.sources.take("head", weights, trained=True)
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

        Positions of `technical` are those in the frame, because fragments are put together in the frame's order.
        `semantic` has one position.

        Raises:
            ValueError: If the tokens of a branch are not square maps at the moments of the semantic branch.
        """
        semantic = features["semantic"]
        moments = semantic.shape[1]
        places = [_at_moments(name, features[name], moments) for name in ("technical", "aesthetic")]
        maps = self.fusion(semantic, *places)
        return {name: scores.unflatten(2, (math.isqrt(scores.shape[2]), -1)) for name, scores in maps.items()}

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of the three branch scores, each compared with `mos`, and the number of valid groups."""
        scores = self.details(features).values()
        parts = [self.loss.forward(score, batch.mos, batch.group, batch.weight) for score in scores]
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
