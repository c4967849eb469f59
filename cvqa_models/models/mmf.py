"""MMF (challenge rank 4, full reference): ten measures of PIQ, fused by a bag of support vector regressors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.training.module import QualityModule

ARRAYS = ("mean", "scale", "support", "used", "dual", "intercept", "gamma")


class Mmf(QualityModule):
    """A bag of support vector regressors on the mean measures of key frames.

    MMF's report names the ten measures, the bag, and Optuna for the settings. It does not say how key frames become one
    vector; we take the mean. `cvqa fit-mmf` fits the bag with scikit-learn and stores it as plain arrays in a usual
    checkpoint, so that loading it runs no code, and scoring does not need scikit-learn.

    Args:
        measures: Measures of key frames: `Piq`, or `Table` for measures that are columns of a table.
    """

    mean: Tensor
    scale: Tensor
    support: Tensor
    used: Tensor
    dual: Tensor
    intercept: Tensor
    gamma: Tensor

    def __init__(self, measures: Branch) -> None:
        super().__init__({"measures": measures})
        for name in ARRAYS:
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def take(self, fitted: Any) -> None:
        """Copy the numbers that scikit-learn fitted.

        Args:
            fitted: Pipeline of a StandardScaler and a BaggingRegressor of SVRs with the radial kernel.
        """
        scaler, bag = fitted
        machines = bag.estimators_
        support = [np.zeros((len(one.support_), scaler.n_features_in_)) for one in machines]
        used = [np.zeros_like(rows) for rows in support]
        for rows, mask, one, columns in zip(support, used, machines, bag.estimators_features_, strict=True):
            rows[:, columns] = one.support_vectors_
            mask[:, columns] = 1
        arrays = {
            "mean": scaler.mean_,
            "scale": scaler.scale_,
            "support": np.concatenate(support),
            "used": np.concatenate(used),
            # The score of a bag is the mean of its regressors.
            "dual": np.concatenate([one.dual_coef_[0] for one in machines]) / len(machines),
            "intercept": np.mean([one.intercept_[0] for one in machines]),
            "gamma": bag.estimator.gamma,
        }
        for name, values in arrays.items():
            setattr(self, name, torch.as_tensor(values, dtype=torch.float64))

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video on the scale of the labels, float32, shape (B,), from tokens (B, N, D).

        Raises:
            ValueError: If the bag is not fitted, or was fitted on another number of measures.
        """
        x = features["measures"].double().mean(dim=1)
        if not len(self.support):
            raise ValueError("MMF is not fitted; run `cvqa fit-mmf` and give the checkpoint that it writes.")
        if x.shape[1] != len(self.mean):
            raise ValueError(f"MMF was fitted on {len(self.mean)} measures but gets {x.shape[1]}; fit it anew.")
        x = (x - self.mean) / self.scale
        distance = ((x[:, None] - self.support).square() * self.used).sum(-1)
        return ((-self.gamma * distance).exp() @ self.dual + self.intercept).float()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Refuse to train by gradients.

        Raises:
            ValueError: Always.
        """
        raise ValueError("MMF is not trained by gradients; fit it with `cvqa fit-mmf`.")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give the buffers as many support vectors as the checkpoint has."""
        super().on_load_checkpoint(checkpoint)
        stored: Mapping[str, Tensor] = checkpoint["state_dict"]
        for name in ARRAYS:
            if name in stored:
                setattr(self, name, torch.zeros_like(stored[name]))
