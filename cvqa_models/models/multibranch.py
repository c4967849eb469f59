"""The flagship: any set of branches, pooled over time and fused by a fully connected head."""

from __future__ import annotations

from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe, check_names
from cvqa_models.nn.heads import FCHead, Pooling, TemporalPool


class MultiBranch(QualityModule):
    """Fuse any branches by pooling and a head (ours, after the challenge's leading systems).

    Args:
        branches: Name -> branch.
        loss: Group-wise loss.
        recipe: How the model is optimised.
        drop: Names of branches to leave out, for ablations.
        hidden: Width of the head's hidden layer; null for a purely linear head.
        dropout: Dropout of the head, in [0, 1).
        pooling: How the tokens of a branch become one vector.
    """

    def __init__(
        self,
        branches: dict[str, Branch],
        loss: GroupLoss,
        *,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        drop: list[str] | None = None,
        hidden: int | None = 128,
        dropout: float = 0.1,
        pooling: Pooling = "mean",
    ) -> None:
        check_names("drop", drop or [], branches)
        kept = {name: branch for name, branch in branches.items() if name not in (drop or [])}
        if not kept:
            raise ValueError(f"`drop` leaves no branch of {list(branches)}; keep at least one.")
        super().__init__(kept, loss, recipe)
        pools = {name: TemporalPool(branch.dim, pooling) for name, branch in kept.items()}
        self.pools = nn.ModuleDict(pools)
        self.head = FCHead([pool.dim for pool in pools.values()], hidden, dropout)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, shape (B,), from tokens (B, N, D) of every branch."""
        score: Tensor = self.head([pool(features[name]) for name, pool in self.pools.items()])
        return score
