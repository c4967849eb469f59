"""The learning rate over a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass(frozen=True)
class WarmupCosine:
    """Factor of the peak rate at a step: 0 before `start`, a linear rise over `warmup` steps, then a cosine to 0.

    Attributes:
        total: Steps of the whole run; None if unknown, as when time ends the run. The rate then stays at its peak after
            the rise.
        warmup: Steps of the rise.
        start: First step that learns.
    """

    total: int | None
    warmup: int
    start: int = 0

    def __call__(self, step: int) -> float:
        since = step - self.start
        if since < 0:
            return 0.0
        if since < self.warmup:
            return (since + 1) / (self.warmup + 1)
        if self.total is None:
            return 1.0
        span = max(1, self.total - self.start - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (since - self.warmup) / span)))


class Rates(LambdaLR):
    """The learning rate of every parameter group. A checkpoint stores only the step.

    Rates, decay and shape come from the current run. So the values that a user types to resume a run are used; torch
    and Lightning would replace them by those of the checkpoint.

    Args:
        optimizer: Optimizer; its groups hold their peak rate and decay.
        shapes: Factor of the peak rate at a step, one per group.
    """

    def __init__(self, optimizer: Optimizer, shapes: Sequence[WarmupCosine]) -> None:
        self.decays = [group["weight_decay"] for group in optimizer.param_groups]
        super().__init__(optimizer, list(shapes))  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_epoch = state_dict["last_epoch"]
        self._step_count = self.last_epoch + 1
        rates = [rate * shape(self.last_epoch) for rate, shape in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        self._last_lr = rates
        groups = self.optimizer.param_groups
        for group, peak, rate, decay in zip(groups, self.base_lrs, rates, self.decays, strict=True):
            group.update(initial_lr=peak, lr=rate, weight_decay=decay)
