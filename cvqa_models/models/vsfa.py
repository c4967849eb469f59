"""VSFA, the challenge's baseline: content of frames over time, pooled as a viewer remembers quality."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.resnet50_stats import ResNet50Stats
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.gru_pool import GruPool, subjective_pooling
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.weights.exact import load_exact

PREFIXES = {"ann.fc0": "reduce", "rnn": "gru", "q": "quality"}


def head_key(key: str) -> str | None:
    """Return our name of a key of the published `VSFA.pt`; None for its layer `ann.fc`, which no score uses."""
    prefix, name = key.rsplit(".", 1)
    return None if prefix == "ann.fc" else f"{PREFIXES.get(prefix, prefix)}.{name}"


class Vsfa(QualityModule):
    """Linear 4096 -> 128, GRU 32, quality of each frame, subjective pooling, mean.

    Li, Jiang and Jiang, "Quality assessment of in-the-wild videos", 2019. The authors trained with the absolute error
    to MOS divided by the largest MOS; here the loss is group-wise.

    Args:
        content: Frame features in the order of time; the authors use `ResNet50Stats`.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of the published head (`vsfa`), whose scores are MOS of KoNViD-1k over its maximum; null
            for an untrained head.
        reduced_dim: Width after the linear reduction.
        hidden_dim: Width of the GRU.
    """

    reads_order: ClassVar[bool] = True

    def __init__(
        self,
        content: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(weight_decay=0.0),  # noqa: B008 - frozen
        weights: str | None = None,
        reduced_dim: int = 128,
        hidden_dim: int = 32,
    ) -> None:
        super().__init__({"content": content}, loss, recipe)
        self.head = GruPool(content.dim, reduced_dim, hidden_dim)
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.head, weights, rename=head_key)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, 4096) of N frames."""
        return self.maps(features)["quality"].mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality` of each frame as a viewer remembers it, float32, (B, N); the score is its mean."""
        return {"quality": subjective_pooling(self.head(features["content"]))}

    def pull_of_places(self, frame: Tensor) -> Tensor:
        """Return how far each place of a frame pulls its score up, or down if below zero, float32, (rows, columns).

        Ours: the system has no score of a place, because it takes mean and deviation over all places first. The pull is
        the score of the frame, as a video of this one frame, less the same without the place in mean and deviation.

        Args:
            frame: As its branch sees it, uint8, (3, 1, H, W).

        Raises:
            ValueError: If the branch is not `ResNet50Stats`, or the frame has too few places.
        """
        content = self.branches["content"]
        if not isinstance(content, ResNet50Stats):
            raise ValueError(f"`content` is {type(content).__name__}, and only ResNet50Stats tells of places.")
        whole, without = content.tokens(frame[None, None]), content.tokens_without_each(frame)
        with self.full_precision():
            rest = self.score({"content": without.float().flatten(0, 1)[:, None]})
            pull: Tensor = self.score({"content": whole.float()}) - rest
        return pull.view(without.shape[:2])
