"""HIVE (challenge rank 6): two Q-Align scorers, one with coarse and one with fine level words, and a fitted average."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.metrics.accumulate import of_all_ranks
from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.ensemble import fit_weights
from cvqa_models.models.level_scorer import LevelScorer
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch

QALIGN_LORA = Recipe(lr_backbone=2e-4, weight_decay=0.0, warmup=0.03, videos_per_pass=1)
Row = tuple[str, str, float, float, float]


class Hive(LevelScorer):
    """Two level scorers that learn independently; their weights in the score are fitted on the validation videos.

    The report of HIVE names two Q-Align models with different level words, local patches in addition to a resized
    global view, and a weighted average. It does not give the words, the patches, or how they are joined; these are
    ours: all views of a frame stand in one image slot. The report has two encoders, for patches and for the global
    view; here one encoder sees both. The weights are those of `cvqa evaluate --ensemble`, converted to the scale of the
    scorers.

    Args:
        coarse: Branch of level logits with few level words.
        fine: Branch of level logits with many level words.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised; the default is that of Q-Align's LoRA tuning.
        level_weight: Weight of the cross entropy to soft levels.
    """

    weight: Tensor

    def __init__(
        self,
        coarse: Branch,
        fine: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = QALIGN_LORA,
        level_weight: float = 1.0,
    ) -> None:
        super().__init__({"coarse": coarse, "fine": fine}, loss, recipe, level_weight=level_weight)
        self.register_buffer("weight", torch.tensor([0.5, 0.5]))
        self._rows: list[Row] = []

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the score of each scorer, in [0, 1], shape (B,) each."""
        return self.scores(features)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the weighted average of both scores, in [0, 1], float32, shape (B,)."""
        return torch.stack(list(self.scores(features).values()), dim=1) @ self.weight

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the scores of both scorers."""
        for one in self.evened(batch).singles():
            coarse, fine = self._predict(one).details.values()
            self._rows.append((one.video_id[0], one.group_name[0], one.mos.item(), coarse, fine))

    def on_validation_epoch_end(self) -> None:
        """Fit the weights on the videos of all ranks, then evaluate the average."""
        rows = of_all_ranks(self._rows)
        self._rows = []
        # A sampler may repeat a video, so that all ranks have equally many batches.
        unique = sorted({(group, video): (mos, coarse, fine) for video, group, mos, coarse, fine in rows}.items())
        groups, videos = [group for (group, _), _ in unique], [video for (_, video), _ in unique]
        mos, scores = np.array([row[0] for _, row in unique]), np.array([row[1:] for _, row in unique])
        self.weight.copy_(torch.from_numpy(raw_weights(groups, mos, scores)))
        self._validation.update(
            videos, groups, torch.from_numpy(mos), torch.from_numpy(scores) @ self.weight.double().cpu()
        )
        self.log("val/weight_coarse", self.weight[0], batch_size=1)
        super().on_validation_epoch_end()


def raw_weights(group: list[str], mos: Floats, scores: Floats) -> Floats:
    """Return the weights of two scorers, with sum 1, for their scores as they are.

    The weights of an ensemble are for scores that are standardised in each group. A single video has no group, so each
    weight is divided by the usual spread of its scorer. If neither scorer rises with `mos`, weights are equal, with a
    warning.

    Args:
        group: Group name per video, N in all.
        mos: Subjective scores, shape (N,); NaN leaves a video out.
        scores: Scores of both, shape (N, 2).
    """
    try:
        share = fit_weights(group, mos, scores)
    except ValueError as error:
        warnings.warn(f"Both scorers keep equal weights: {error}", stacklevel=2)
        return np.array([0.5, 0.5])
    names = np.asarray(group, dtype=np.str_)
    centred = scores - np.stack([scores[names == name].mean(axis=0) for name in group])
    spread = np.sqrt((centred**2).mean(axis=0))
    # A scorer with constant scores has no spread; its weight is 0.
    weights: Floats = np.divide(share, spread, out=np.zeros(2), where=share > 0)
    weights /= weights.sum()
    return weights
