"""The compression level: how much an encoder has damaged a video, on VMAF's scale, from its pixels alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_damage import CompressionDamage
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.shipped_level import WEIGHTS, LevelScores
from cvqa_models.nn.group_ridge import GroupRidge
from cvqa_models.nn.heads import FcHead, Norm
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.exact import load_exact

ENDS = 0.03  # levels nearer to 0 or 1 than this count as this near: logits of the ends are infinite


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
        ridge: Regression by which a linear head on standardised features starts; null to start near zero.

    Raises:
        ValueError: If `ridge` is given for another head.
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
        ridge: GroupRidge | None = None,
    ) -> None:
        super().__init__({"level": level}, loss, recipe)
        if ridge is not None and (hidden is not None or norm != "standard"):
            raise ValueError(
                f"`ridge` is for a linear head: give `hidden: null`, `norm: standard`, not {hidden}, {norm}."
            )
        self.ridge = ridge
        self.standardise = norm == "standard" and weights is None
        self.head = FcHead([level.dim], hidden, dropout=0.0, norm=norm)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.head, weights, prefix="head.")

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Set the statistics of standardised inputs from the training videos, and let levels start at their mean label.

        With `ridge`, levels start by the regression of their logit instead. A head that came from a file keeps its own.
        """
        if not self.standardise:
            return
        tokens, labels, groups, weights = [], [], [], []
        for batch in batches:
            used = (batch.weight > 0) & ~batch.mos.isnan()
            tokens.append(self.features(batch)["level"][used].mean(1))
            labels.append(batch.mos[used])
            weights.append(batch.weight[used])
            groups += [name for name, one in zip(batch.group_name, used.tolist(), strict=True) if one]
        x, level = torch.cat(tokens), torch.cat(labels) / 100
        self.head.fit([x], level.mean().logit(eps=1e-3))
        if self.ridge is None:
            return
        number = {name: place for place, name in enumerate(dict.fromkeys(groups))}
        own = [number[name] for name in groups]
        found, intercept = self.ridge.fit(self.head.norms[0](x), level.logit(eps=ENDS), own, torch.cat(weights))
        self.head.last.weight.copy_(found)
        self.head.last.bias.fill_(intercept)


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
