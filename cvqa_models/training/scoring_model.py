"""A model that scores batches of views: the part of a system that scoring needs, without training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.training.finite import check_scores
from cvqa_models.types import Batch, Demand, Prediction
from cvqa_models.weights.sources import Sources

if TYPE_CHECKING:
    from cvqa_models.training.calibration import Calibration


class ScoringModel(nn.Module, ABC):
    """Branches, and the function that makes a score of their tokens. It needs no Lightning, which is slow to import.

    Args:
        branches: Name -> branch.

    Attributes:
        reads_order: Whether a score depends on the order of a branch's tokens; if not, each frame is judged by itself.
        sources: `head` -> where its weights came from, for a system whose head takes weights.
        calibration: Puts predictions on a panel's scale; `cvqa calibrate` stores it in a checkpoint.
    """

    device: torch.device
    reads_order: ClassVar[bool] = False

    def __init__(self, branches: Mapping[str, Branch]) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        for branch in self.each_branch().values():
            branch.freeze()
        self.sources = Sources()
        self.calibration: Calibration | None = None

    @property
    def kind(self) -> str:
        """Return the name of the model that a score records: its class."""
        return type(self).__name__

    @abstractmethod
    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens per branch, float32, (B, N, D) each.

        This method, `details`, `maps` and `training_loss` are called without autocast; see `full_precision`.
        """

    def details(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return named extra scores per video, each of shape (B,); none by default."""
        return {}

    def maps(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return named scores of moments, (B, T), or moments and positions, (B, T, rows, columns); none by default."""
        return {}

    def notes(self, features: dict[str, Tensor]) -> tuple[str, ...]:
        """Return reasons to doubt the score of one video, each in a few words, from its tokens; none by default."""
        return ()

    def unusual(self, height: int, width: int, fps: float) -> tuple[str, ...]:
        """Return reasons to doubt the score of a video of this size and rate, in a few words each; none by default.

        Args:
            height: Lines of the picture as the model sees it.
            width: Its columns.
            fps: Frames a second; 0 if unknown, as for a still.
        """
        return ()

    def each_branch(self) -> dict[str, Branch]:
        """Return the branches by name."""
        return {name: branch for name, branch in self.branches.items() if isinstance(branch, Branch)}

    @property
    def demands(self) -> dict[str, Demand]:
        """Return what each branch needs from the data side."""
        return {name: branch.demand for name, branch in self.each_branch().items()}

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Return the tokens of every branch, float32, (B, N, D) each: cached ones from the batch, others computed."""
        return {name: self._tokens(name, branch, batch).float() for name, branch in self.each_branch().items()}

    def _tokens(self, name: str, branch: Branch, batch: Batch) -> Tensor:
        if name in batch.features:
            return batch.features[name]
        assert branch.view is not None  # measured values are always in the batch: it could not be read without them
        branch.seeds = batch.seeds
        with torch.set_grad_enabled(torch.is_grad_enabled() and not branch.frozen):
            return branch.tokens(batch.views[branch.view.key])

    def full_precision(self) -> torch.autocast:
        """Return the context in which features become scores: float32, even if autocast is on for the branches.

        Scores of a group lie close together, and half precision would make some of them equal: of 15 scores within
        0.04, bfloat16 keeps only 11 apart.
        """
        return torch.autocast(self.device.type, enabled=False)

    def forward(self, batch: Batch) -> Tensor:
        """Return one score per video of the batch, float32, shape (B,)."""
        features = self.features(batch)
        with self.full_precision():
            return self.score(features)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Prediction]:
        """Return the prediction of every video, each computed by itself, so that no other video changes its bits.

        Raises:
            ValueError: If a score is not finite.
        """
        return [self._predict(one) for one in batch.singles()]

    def _predict(self, one: Batch) -> Prediction:
        return self.prediction(one, self.features(one))

    def prediction(self, one: Batch, features: dict[str, Tensor]) -> Prediction:
        """Return the prediction of a batch of one video, from its tokens per branch, (1, N, D) each.

        Raises:
            ValueError: If the score is not finite.
        """
        with self.full_precision():
            score, details, maps = self.score(features), self.details(features), self.maps(features)
        check_scores(score, one)
        value, on_scale = self.calibrated(score.item())
        return Prediction(
            one.video_id[0],
            one.group_name[0],
            value,
            details=on_scale | {name: values.item() for name, values in details.items()},
            maps={name: values[0].cpu() for name, values in maps.items()},
            notes=self.notes(features),
        )

    def calibrated(self, raw: float) -> tuple[float, dict[str, float]]:
        """Return a score on the panel's scale, with its interval and raw score; the raw score if there is no scale."""
        if self.calibration is None:
            return raw, {}
        value, low, high = self.calibration(raw)
        return value, {"low": low, "high": high, "uncalibrated": raw}
