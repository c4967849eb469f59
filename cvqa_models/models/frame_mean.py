"""A measure of single frames as a system. Nothing is trained; the score of a video is the mean over its frames."""

from __future__ import annotations

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.training.module import QualityModule


class FrameMean(QualityModule):
    """The mean over frames of a branch with one number per frame.

    Args:
        measure: The branch.
    """

    def __init__(self, measure: Branch) -> None:
        super().__init__({"measure": measure})

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, 1)."""
        return features["measure"].mean(dim=(1, 2))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Refuse to train.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"`{type(self).__name__}` has nothing to train; use it as it is, with `train.py predict` or `cvqa score "
            "--config`."
        )
