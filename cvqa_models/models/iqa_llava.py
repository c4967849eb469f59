"""IQA-LLaVA (challenge rank 5): a LLaVA rates frames, and the video's score is their mean."""

from __future__ import annotations

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.models.level_scorer import LevelScorer
from cvqa_models.training.module import Recipe

LLAVA_LORA = Recipe(lr_backbone=2e-4, weight_decay=0.0, warmup=0.03, videos_per_pass=1)


class IqaLlava(LevelScorer):
    """A vision-language model that rates key frames by level words, averaged.

    The authors tuned LLaVA-1.5-7B on Q-Instruct and on pseudo-labelled challenge frames, with whole answers as targets.
    Here the same model learns only the level word, from soft levels and the group-wise loss.

    Args:
        lmm: Branch of level logits.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised; the default is that of LLaVA-1.5's LoRA tuning.
        level_weight: Weight of the cross entropy to soft levels.
    """

    def __init__(
        self, lmm: Branch, loss: Loss | None = None, *, recipe: Recipe = LLAVA_LORA, level_weight: float = 1.0
    ) -> None:
        super().__init__({"lmm": lmm}, loss, recipe, level_weight=level_weight)
