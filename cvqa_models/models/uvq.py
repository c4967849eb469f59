"""UVQ 1.5: content and distortion of single frames, one score per frame, and their mean."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.uvq import CHANNELS, SIDE, UvqAggregation
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.weights.exact import load_exact


class Uvq(QualityModule):
    """Score every key frame from 1 to 5; the score of a video is the mean.

    google/uvq, folder `uvq1p5_pytorch`. The authors give no training recipe; here the loss is group-wise.

    Args:
        content: Pooled maps of frames; the authors use `UvqContent`.
        distortion: Pooled maps of the same frames; the authors use `UvqDistortion`.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        weights: File or name of `aggregation_net.pth`; null for an untrained aggregation.

    Raises:
        ValueError: If the width of a branch does not fit the aggregation.
    """

    def __init__(
        self,
        content: Branch,
        distortion: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        weights: str | None = None,
    ) -> None:
        for name, branch in (("content", content), ("distortion", distortion)):
            if branch.dim != CHANNELS * SIDE**2:
                raise ValueError(f"`{name}` is {branch.dim} wide; expected {CHANNELS * SIDE**2}, a pooled map of UVQ.")
        super().__init__({"content": content, "distortion": distortion}, loss, recipe)
        self.aggregation = UvqAggregation()
        weights = self.sources.take("head", weights, trained=True)
        if weights is not None:
            load_exact(self.aggregation, weights)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video in (1, 5), float32, shape (B,), from tokens (B, N, 2048) of both branches."""
        return self.maps(features)["quality"].mean(dim=1)

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `quality`, the score of each frame, float32, (B, N)."""
        content, distortion = (
            features[name].unflatten(2, (CHANNELS, SIDE, SIDE)).flatten(0, 1) for name in ("content", "distortion")
        )
        return {"quality": self.aggregation(content, distortion).view(features["content"].shape[:2])}
