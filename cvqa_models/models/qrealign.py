"""Q-ReAlign, Q-Align's successor: a Qwen-VL rates frames by level words, and the video's score is their mean."""

from __future__ import annotations

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.level_scorer import LevelScorer
from cvqa_models.training.module import Recipe


class QReAlign(LevelScorer):
    """A vision-language model that rates key frames by level words, averaged; published models need no training.

    Q-Future/Q-ReAlign. Its authors tune all of Qwen3.5-VL on pictures and videos, and show a video as 8 frames in one
    conversation. Here each frame is rated by itself, as their quick start rates a picture, and the mean is the score.

    Args:
        lmm: Branch of level logits; its folder prescribes the form of the conversation.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        level_weight: Weight of the cross entropy to soft levels.
    """

    def __init__(
        self,
        lmm: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(lr_backbone=2e-4, weight_decay=0.0, videos_per_pass=1),  # noqa: B008 - frozen
        level_weight: float = 1.0,
    ) -> None:
        super().__init__({"lmm": lmm}, loss, recipe, level_weight=level_weight)
