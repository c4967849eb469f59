"""Scores as expectations over level words, with a language model as the branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from cvqa_models.branches.base import Branch
from cvqa_models.branches.lmm_levels import LmmLevels
from cvqa_models.branches.qalign import QAlignLevels
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe
from cvqa_models.nn.levels import expected_score, group_scale, level_cross_entropy
from cvqa_models.types import Batch
from cvqa_models.weights import digest

Scorer = QAlignLevels | LmmLevels


class LevelScorer(QualityModule):
    """Score each frame by the level words that a model would say, and average over frames and scorers.

    Every scorer learns by itself, by two terms: the group-wise loss of its expected scores, which are differentiable,
    and the cross entropy to soft levels of the scores scaled to [0, 1] inside their group (DeQA-Score's targets).

    Checkpoints hold adapters and trained parts alone, with a digest of the base that they belong to. Under
    `ModelParallelStrategy(data_parallel_size=N, tensor_parallel_size=1, save_distributed_checkpoint=False)` fit and
    validate shard the trained scorers over N processes (FSDP2), one decoder layer at a time.

    Args:
        scorers: Name -> branch of level logits.
        loss: Group-wise loss.
        recipe: How the model is optimised; its `lr_backbone` is that of adapters and trained parts.
        level_weight: Weight of the cross entropy; 0 leaves it out.
    """

    def __init__(
        self,
        scorers: Mapping[str, Branch],
        loss: GroupLoss,
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
        self._base_digests: dict[str, str] = {}

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
        """Return group-wise loss and weighted cross entropy of all scorers, summed over groups, and their number."""
        terms = []
        for name, score in self.scores(features).items():
            total, count = self.loss(score, batch.mos, batch.group, batch.weight)
            terms.append(total + self.level_weight * level_loss(features[name], batch))
        return torch.stack(terms).sum(), count

    def configure_model(self) -> None:
        """Shard trained scorers over the processes where the strategy asks for it."""
        if isinstance(self.device_mesh, DeviceMesh):
            self._shard(self.device_mesh["data_parallel"])

    def evened(self, batch: Batch) -> Batch:
        """Return the batch, under a sharded model with as many videos as the longest on any process.

        Each process gathers the weights once per pass, and must do so as often as the others.
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

        for name, branch in self._partly_frozen().items():
            self._base_digest(name, branch)  # a shard has no digest of the whole
            # Adapters are float32 beside a base of half the width: gathered in the base's type, reduced in float32.
            policy = MixedPrecisionPolicy(param_dtype=branch.dtype, reduce_dtype=torch.float32)
            for module in branch.sharded:
                fully_shard(module, mesh=mesh, mp_policy=policy)
        # The strategy loads before any hook could fill in the base; the digest still tells whether it is the same.
        self.strict_loading = False

    def _partly_frozen(self) -> dict[str, Scorer]:
        return {
            n: branch for n, branch in self.each_branch().items() if isinstance(branch, Scorer) and not branch.frozen
        }

    def _base_digest(self, name: str, branch: Scorer) -> str:
        if name not in self._base_digests:
            holder = nn.Module()
            for key in base_keys(branch):
                holder.register_buffer(key.replace(".", "/"), branch.state_dict()[key])
            self._base_digests[name] = digest(holder)
        return self._base_digests[name]

    def on_predict_start(self) -> None:
        """Refuse to predict with shards.

        Raises:
            ValueError: If the model is sharded: processes that run out of videos would leave the others waiting.
        """
        if isinstance(self.device_mesh, DeviceMesh):
            raise ValueError(
                "A sharded model fits and validates but does not predict, since its processes get unequal numbers of "
                "videos; predict with `--trainer.strategy auto` or `ddp`, which read the same checkpoint."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave everything out that is not trained, but for a base that was in no file."""
        super().on_save_checkpoint(checkpoint)
        for name, branch in self._partly_frozen().items():
            if self._is_random(name):
                continue
            checkpoint["frozen_digests"][name] = self._base_digest(name, branch)
            for key in base_keys(branch):
                checkpoint["state_dict"].pop(f"branches.{name}.{key}", None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the base in the place of what the checkpoint left out.

        Raises:
            ValueError: If the checkpoint's adapters belong to another base.
        """
        super().on_load_checkpoint(checkpoint)
        state, digests = checkpoint.get("state_dict", {}), checkpoint.get("frozen_digests", {})
        for name, branch in self._partly_frozen().items():
            if name not in digests and all(f"branches.{name}.{key}" in state for key in base_keys(branch)):
                continue  # the base was in no file, so it is in this one
            stored, found = digests.get(name), self._base_digest(name, branch)
            if stored != found:
                raise ValueError(
                    f"The checkpoint holds adapters of `{name}` for another base (digest {str(stored)[:12]}, here "
                    f"{found[:12]}); give the `base` it was made with."
                )
            own = branch.state_dict()
            for key in base_keys(branch):
                state[f"branches.{name}.{key}"] = own[key]


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
    )


def base_keys(branch: nn.Module) -> list[str]:
    """Return the keys of a branch's state that training leaves as they are."""
    trained = {name for name, parameter in branch.named_parameters() if parameter.requires_grad}
    return [key for key in branch.state_dict() if key not in trained]


def level_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Return the cross entropy of level logits (B, N, L) to soft levels: a weighted mean per group, summed over groups.

    Groups without two different labels teach no levels and count 0, as in the group-wise loss.
    """
    labelled = torch.where(batch.weight > 0, batch.mos, torch.nan)
    target = group_scale(labelled, batch.group)
    valid = ~target.isnan()
    weight, group = batch.weight[valid], batch.group[valid]
    total = weight.new_zeros(int(batch.group.max()) + 1).index_add(0, group, weight)
    entropy = level_cross_entropy(logits[valid], target[valid])
    return (entropy * weight / total[group]).sum() + 0 * logits.sum()
