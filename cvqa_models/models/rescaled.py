"""Base of systems whose authors publish a curve from the raw score to the number that they report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.rescaling import FittedLogistic
from cvqa_models.training.module import QualityModule, Recipe
from cvqa_models.types import Batch
from cvqa_models.weights.files import resolve


class Rescaled(QualityModule):
    """A system with a raw score: it learns from the raw score, and reports the rescaled score, with `raw` as a detail.

    The curve is flat at its ends; a loss on rescaled scores would have no gradient there.

    Args:
        branches: Name -> branch.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        rescale: The published curve, from raw scores to reported ones; null to report the raw score.
    """

    def __init__(
        self,
        branches: Mapping[str, Branch],
        loss: Loss | None,
        recipe: Recipe,
        rescale: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__(branches, loss, recipe)
        self.rescale = rescale

    @abstractmethod
    def raw(self, features: dict[str, Tensor]) -> Tensor:
        """Return one raw score per video, float32, shape (B,), from tokens per branch, (B, N, D) each."""

    def read_curve(self, rescale_path: str | None) -> None:
        """Read a fitted curve from its file, if there is one and no checkpoint will supply it."""
        if rescale_path is None:
            return
        path = self.sources.take("rescale", rescale_path, trained=True)  # a checkpoint holds it, like trained weights
        if path is not None:
            assert isinstance(self.rescale, FittedLogistic)
            self.rescale.read(resolve(path))

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, rescaled if a curve is given, float32, shape (B,)."""
        raw = self.raw(features)
        return raw if self.rescale is None else self.rescale(raw)

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return `raw`, the score before it is rescaled, shape (B,); nothing without a curve."""
        return {} if self.rescale is None else {"raw": self.raw(features)}

    def training_loss(self, features: dict[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of the raw scores, summed over the valid groups of a batch, and their number."""
        return self.loss.forward(self.raw(features), batch.mos, batch.group, batch.weight)
