"""DOVER and DOVER-Mobile: technical quality of fragments and aesthetic quality of the whole, fused."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.views import places
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.map_head import MapHead
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.exact import load_exact

_BACKBONES = ("technical_backbone.", "aesthetic_backbone.")


@dataclass(frozen=True)
class Fusion:
    """How two raw scores are fused: each is standardised on a data set, and then weighted.

    Attributes:
        technical: Curve of the technical score.
        aesthetic: Curve of the aesthetic score.
        share: Weight of the technical score, from 0 to 1; the aesthetic score gets 1 - `share`.

    Raises:
        ValueError: If `share` is out of range.
    """

    technical: Logistic
    aesthetic: Logistic
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"`share` of the fusion is {self.share}; expected a weight from 0 to 1.")

    def __call__(self, technical: Tensor, aesthetic: Tensor) -> Tensor:
        """Return the weighted sum of standardised scores, of their shape."""
        parts = self.technical.standardised(technical), self.aesthetic.standardised(aesthetic)
        return self.share * parts[0] + (1 - self.share) * parts[1]


class Dover(QualityModule):
    """Score every place and moment of two branches; two mean scores are fused.

    Wu et al., "Exploring Video Quality Assessment on User Generated Contents from Aesthetic and Technical
    Perspectives", ICCV 2023. As there, each branch learns from `mos` by itself, and the fused score has no loss. Here
    the loss is group-wise; the authors' loss (PLCC + 0.3 rank) was over random batches.

    The authors draw frames and patches at random in evaluation too (`OfficialUniformClips`, `OfficialFragments`); the
    views of our configurations do not. Their program for ONNX swaps the two scores, so that each gets the constants of
    the other. Here scores have names, so this swap, and others in their programs, cannot happen.

    Args:
        technical: Tokens of maps; the authors use `Swin3DMap`, in DOVER-Mobile `ConvNeXt3DMap` with `part: technical`.
        aesthetic: Tokens of maps; the authors use `ConvNeXt3DMap`.
        loss: The loss; null is the usual `GroupLoss`.
        hidden: Width of the heads' hidden layer; 32 in DOVER-Mobile.
        recipe: How the model is optimised.
        weights: File or name of a DOVER checkpoint for the heads; null for untrained ones. The branches have their own
            `weights`.
        fusion: The published constants; null for the plain sum of the raw scores.
    """

    def __init__(
        self,
        technical: Branch,
        aesthetic: Branch,
        loss: Loss | None = None,
        *,
        hidden: int = 64,
        recipe: Recipe = Recipe(lr_backbone=1e-4, weight_decay=0.05),  # noqa: B008 - frozen
        weights: str | None = None,
        fusion: Fusion | None = None,
    ) -> None:
        branches = {"technical": technical, "aesthetic": aesthetic}
        super().__init__(branches, loss, recipe)
        self.fusion = fusion
        self.heads = nn.ModuleDict({f"{name}_head": MapHead(branch.dim, hidden) for name, branch in branches.items()})
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.heads, weights, rename=lambda key: None if key.startswith(_BACKBONES) else key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the fused score, from 0 to 1 with a fusion, float32, shape (B,), from tokens (B, M, D) each."""
        fused = self._fused(self._raw(features))
        return fused if self.fusion is None else fused.sigmoid()

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each branch, shape (B,) each.

        With a fusion they are from 0 to 1; then `raw` is the fused score before the logistic curve, and `technical_raw`
        and `aesthetic_raw` are the scores of the networks.
        """
        raw = self._raw(features)
        if self.fusion is None:
            return raw
        curves = {"technical": self.fusion.technical, "aesthetic": self.fusion.aesthetic}
        rescaled = {name: curves[name](scores) for name, scores in raw.items()}
        return rescaled | {"raw": self._fused(raw)} | {f"{name}_raw": scores for name, scores in raw.items()}

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the raw score of every moment and place by branch, float32, (B, T, rows, columns)."""
        views = {name: branch.view for name, branch in self.each_branch().items()}
        scores = self._scores(features)
        return {name: places(scores[name], view) for name, view in views.items() if view is not None}

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of both raw scores, each against `mos`, and the number of valid groups."""
        raw = self._raw(features).values()
        parts = [self.loss.forward(scores, batch.mos, batch.group, batch.weight) for scores in raw]
        return torch.stack([total for total, _ in parts]).sum(), parts[0][1]

    def _fused(self, raw: dict[str, Tensor]) -> Tensor:
        if self.fusion is None:
            return raw["technical"] + raw["aesthetic"]
        return self.fusion(**raw)

    def _raw(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: scores.mean(dim=1) for name, scores in self._scores(features).items()}

    def _scores(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.heads[f"{name}_head"](features[name].unsqueeze(2)).squeeze(2) for name in self.branches}
