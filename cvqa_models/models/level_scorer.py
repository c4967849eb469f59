"""Scores as expectations over level words, with a language model as the branch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from cvqa_models.branches.base import Branch
from cvqa_models.branches.lmm_levels import LmmLevels
from cvqa_models.branches.qalign import QAlignLevels
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.lmm.levels import expected_score, group_scale, level_cross_entropy
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch

Scorer = QAlignLevels | LmmLevels


class LevelScorer(QualityModule):
    """Score each frame by the probabilities of a model's level words, and average over frames and scorers.

    Every scorer learns by itself, with two terms: the group-wise loss of its expected scores, which are differentiable,
    and the cross entropy to soft levels of the labels scaled to [0, 1] inside their group (DeQA-Score's targets).

    Checkpoints hold only adapters and trained parts, with a digest of the base that they need. With
    `ModelParallelStrategy(data_parallel_size=N, tensor_parallel_size=1, save_distributed_checkpoint=False)` fit and
    validate shard the trained scorers over N processes (FSDP2), one decoder layer at a time.

    Args:
        scorers: Name -> branch of level logits.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised; its `lr_backbone` is the rate of adapters and trained parts.
        level_weight: Weight of the cross entropy; 0 leaves it out.
    """

    def __init__(
        self,
        scorers: Mapping[str, Branch],
        loss: Loss | None,
        recipe: Recipe,
        *,
        level_weight: float = 1.0,
    ) -> None:
        other = [name for name, branch in scorers.items() if not isinstance(branch, Scorer)]
        if other:
            raise ValueError(
                f"`{other[0]}` is a {type(scorers[other[0]]).__name__}, which gives no level logits; expected a "
                "QAlignLevels or LmmLevels branch."
            )
        super().__init__(scorers, loss, recipe)
        self.level_weight = level_weight

    def scores(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each scorer in [0, 1], float32, (B,) each, from level logits (B, N, L)."""
        return {name: frames.mean(dim=1) for name, frames in self.maps(features).items()}

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each frame by scorer, in [0, 1], float32, (B, N) each."""
        return {name: expected_score(features[name]) for name in self.branches}

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean of the scorers' scores, in [0, 1], float32, shape (B,)."""
        return torch.stack(list(self.scores(features).values())).mean(dim=0)

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return group-wise loss plus weighted cross entropy of all scorers, summed over groups, and their number."""
        terms = []
        for name, score in self.scores(features).items():
            total, count = self.loss.forward(score, batch.mos, batch.group, batch.weight)
            terms.append(total + self.level_weight * level_loss(features[name], batch))
        return torch.stack(terms).sum(), count

    def configure_model(self) -> None:
        """Shard trained scorers over the processes if the strategy asks for it."""
        if isinstance(self.device_mesh, DeviceMesh):
            self._shard(self.device_mesh["data_parallel"])

    def evened(self, batch: Batch) -> Batch:
        """Return the batch; of a sharded model, with as many videos as the longest batch on any process.

        Each process gathers the weights once per pass, and all processes must do so equally often.
        """
        if not isinstance(self.device_mesh, DeviceMesh):
            return batch
        longest = self.trainer.strategy.reduce(torch.tensor(len(batch), device=self.device), reduce_op="max")
        return padded(batch, int(longest))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(self.evened(batch), batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(self.evened(batch), batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        super().test_step(self.evened(batch), batch_idx)

    def _shard(self, mesh: DeviceMesh) -> None:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        for branch in self._trained_scorers():
            branch.fixed_digest()  # now, because it cannot be computed from a shard
            # Adapters are float32 and the base has half the width: weights are gathered in the base's type, and
            # gradients are reduced in float32.
            policy = MixedPrecisionPolicy(param_dtype=branch.dtype, reduce_dtype=torch.float32)
            for module in branch.sharded:
                fully_shard(module, mesh=mesh, mp_policy=policy)
        # The strategy loads weights before any hook could add the base; the digest still shows whether it is the same
        # base.
        self.strict_loading = False

    def _trained_scorers(self) -> list[Scorer]:
        return [one for one in self.each_branch().values() if isinstance(one, Scorer) and not one.frozen]

    def on_predict_start(self) -> None:
        """Refuse to predict with shards.

        Raises:
            ValueError: If the model is sharded: the others would wait for processes that have no videos left.
        """
        if isinstance(self.device_mesh, DeviceMesh):
            raise ValueError(
                "A sharded model fits and validates but does not predict, since its processes get unequal numbers of "
                "videos; predict with `--trainer.strategy auto` or `ddp`, which read the same checkpoint."
            )


def padded(batch: Batch, length: int) -> Batch:
    """Return `batch` with its last video repeated up to `length` videos; the repeats have weight 0."""
    rows = [min(row, len(batch) - 1) for row in range(length)]
    weight = batch.weight[rows]
    weight[len(batch) :] = 0
    return Batch(
        video_id=[batch.video_id[row] for row in rows],
        group_name=[batch.group_name[row] for row in rows],
        group=batch.group[rows],
        mos=batch.mos[rows],
        weight=weight,
        views={key: view[rows] for key, view in batch.views.items()},
        features={name: tokens[rows] for name, tokens in batch.features.items()},
        seeds=None if batch.seeds is None else batch.seeds[rows],
    )


def level_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the cross entropy of level logits (B, N, L) to soft levels: a weighted mean per group, summed over groups.

    A group without two different labels has no levels, and adds 0, as in the group-wise loss.
    """
    labelled = torch.where(batch.weight > 0, batch.mos, torch.nan)
    target = group_scale(labelled, batch.group)
    valid = ~target.isnan()
    weight, group = batch.weight[valid], batch.group[valid]
    total = weight.new_zeros(int(batch.group.max()) + 1).index_add(0, group, weight)
    entropy = level_cross_entropy(logits[valid], target[valid])
    return (entropy * weight / total[group]).sum() + 0 * logits.sum()
