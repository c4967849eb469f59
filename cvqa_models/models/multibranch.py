"""The flagship: any set of branches, pooled over time and fused by a fully connected head."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.heads import FcHead, Norm, Pooling, TemporalPool
from cvqa_models.training.module import QualityModule, Recipe, check_names
from cvqa_models.types import Batch


class MultiBranch(QualityModule):
    """Fuse any branches by pooling and a head (ours, after the challenge's leading systems).

    Args:
        branches: Name -> branch.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        drop: Names of branches to leave out, for ablations.
        hidden: Width of the head's hidden layer; null for a purely linear head.
        dropout: Dropout of the head, in [0, 1).
        pooling: How the tokens of a branch become one vector.
        norm: How branches are brought to one scale: `layer`, or `standard` for measured values, such as a metric table.
    """

    def __init__(
        self,
        branches: dict[str, Branch],
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        drop: list[str] | None = None,
        hidden: int | None = 128,
        dropout: float = 0.1,
        pooling: Pooling = "mean",
        norm: Norm = "layer",
    ) -> None:
        check_names("drop", drop or [], branches)
        kept = {name: branch for name, branch in branches.items() if name not in (drop or [])}
        if not kept:
            raise ValueError(f"`drop` leaves no branch of {list(branches)}; keep at least one.")
        super().__init__(kept, loss, recipe)
        pools = {name: TemporalPool(branch.dim, pooling) for name, branch in kept.items()}
        self.norm = norm
        self.pools = nn.ModuleDict(pools)
        self.head = FcHead([pool.dim for pool in pools.values()], hidden, dropout, norm)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, shape (B,), from tokens (B, N, D) of every branch."""
        score: Tensor = self.head(self._vectors(features))
        return score

    @torch.no_grad()
    def fit_inputs(self, batches: Iterable[Batch]) -> None:
        """Set the statistics of standardised inputs from the labelled training videos with a weight."""
        if self.norm == "layer":
            return
        parts, labels = [], []
        for batch in batches:
            used = (batch.weight > 0) & ~batch.mos.isnan()
            parts.append([vector[used] for vector in self._vectors(self.features(batch))])
            labels.append(batch.mos[used])
        self.head.fit([torch.cat(vectors) for vectors in zip(*parts, strict=True)], torch.cat(labels))

    def _vectors(self, features: dict[str, Tensor]) -> list[Tensor]:
        return [pool(features[name]) for name, pool in self.pools.items()]
