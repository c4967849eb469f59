"""The compression level that ships with the project: only what scoring needs, without training."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.nn.heads import FcHead
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.weights.exact import load_exact

SHIPPED = "compression_level"
MEASURES = "compression damage on VMAF's scale from 0 to 100 (100 is clean), not human opinion"


class LevelScores(ScoringModel):
    """Scores each clip between 0 and 100, and averages over time (ours)."""

    head: FcHead

    def levels(self, tokens: Tensor) -> Tensor:
        """Return one level per clip, float32 in (0, 100), shape (B, N), from tokens of shape (B, N, D)."""
        levels: Tensor = 100 * self.head([tokens.flatten(0, 1)]).sigmoid()
        return levels.view(tokens.shape[:2])

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return the mean level of each video, float32, shape (B,), from tokens (B, N, D)."""
        return self.levels(features["level"]).mean(1)


class ShippedLevel(LevelScores):
    """`CompressionLevelModel` without Lightning, whose import takes longer than to score a film.

    Args:
        weights: File or name of weights for branch and head.
    """

    def __init__(self, weights: str) -> None:
        level = CompressionLevel(weights, frozen=True)
        super().__init__({"level": level})
        self.head = FcHead([level.dim], None, dropout=0.0, norm="standard")
        self.sources.take("head", weights, trained=True)
        load_exact(self.head, weights, prefix="head.")

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Return the device of the weights."""
        return next(self.parameters()).device

    @property
    def kind(self) -> str:
        """Return the name of the class that trained these weights."""
        return "CompressionLevelModel"


def shipped_level(weights: str = SHIPPED) -> ShippedLevel:
    """Return the trained model in `checkpoints/`, in eval mode.

    It sees more of a video than in training: patches from the whole picture, over the whole time.

    Args:
        weights: File or name of other weights for it, as `cvqa export` writes them.

    Raises:
        FileNotFoundError: If the file is not there; the message says where to get it.
    """
    return ShippedLevel(weights).eval()
