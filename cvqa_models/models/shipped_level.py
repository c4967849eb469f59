"""The compression level that ships with the project: only what scoring needs, without training."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from cvqa_models.branches.compression_damage import CompressionDamage
from cvqa_models.nn.heads import FcHead
from cvqa_models.training.calibration import Calibration, from_plain
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import metadata

SHIPPED = "compression_level"  # the model
WEIGHTS = "compression_damage"  # and its weights
# Distance of features from the mean of training, in deviations (root mean square); one of a hundred encodes of scenes
# that are not of training lies farther.
FAR = 2.2
LINES = 180  # of the shorter side of the smallest training videos
RATES = (10, 60)  # frames a second of training videos, from and to
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
    """`CompressionLevelModel` as it ships, without Lightning, whose import takes longer than to score a film.

    Args:
        weights: File or name of weights for branch and head. If its metadata hold the curve of `cvqa calibrate`, scores
            follow it, and have an interval.
    """

    def __init__(self, weights: str) -> None:
        level = CompressionDamage(weights, frozen=True)
        super().__init__({"level": level})
        self.head = FcHead([level.dim], None, dropout=0.0, norm="standard")
        self.sources.take("head", weights, trained=True)
        load_exact(self.head, weights, prefix="head.")
        self.calibration = _curve(weights)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Return the device of the weights."""
        return next(self.parameters()).device

    @property
    def kind(self) -> str:
        """Return the name of the class that trained these weights."""
        return "CompressionLevelModel"

    def notes(self, features: dict[str, Tensor]) -> tuple[str, ...]:
        """Return a note if the video looks like nothing in training, by the distance of its features (ours)."""
        (norm,) = self.head.norms
        distance = norm(features["level"].mean(1)).square().mean(1).sqrt().item()
        return () if distance <= FAR else (f"unlike the level's training videos ({distance / FAR:.1f} times as far)",)

    def unusual(self, height: int, width: int, fps: float) -> tuple[str, ...]:
        """Return a note for a size or frame rate beyond those of training."""
        notes, (slow, fast) = [], RATES
        if min(height, width) < LINES:
            notes.append(f"smaller ({width}x{height}) than the level's training videos")
        if fps and not slow - 0.5 <= fps <= fast + 0.5:  # rates are means of what a file says
            notes.append(f"{'slower' if fps < slow else 'faster'} ({fps:.3g} fps) than the level's training videos")
        return tuple(notes)

    def calibrated(self, raw: float) -> tuple[float, dict[str, float]]:
        """Return the level and its interval; what the network says before the curve has no meaning for anybody."""
        level, beside = super().calibrated(raw)
        return level, {name: beside[name] for name in ("low", "high") if name in beside}


def _curve(weights: str) -> Calibration | None:
    told = metadata(resolve(weights)).get("calibration")
    if told is None:
        return None
    try:
        return from_plain(json.loads(told))
    except ValueError as error:
        raise ValueError(f"the curve in weights '{weights}' cannot be read ({error}); export them again") from error


def shipped_level(weights: str = WEIGHTS) -> ShippedLevel:
    """Return the trained model in `checkpoints/`, in eval mode.

    It sees more of a video than in training: patches from the whole picture, over the whole time.

    Args:
        weights: File or name of other weights for it, as `cvqa export` writes them.

    Raises:
        FileNotFoundError: If the file is not there; the message says where to get it.
        ValueError: If it does not fit.
    """
    return ShippedLevel(weights).eval()
