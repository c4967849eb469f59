"""Quality over time: features -> Linear -> GRU -> quality of each step -> temporal pooling (VSFA, HVS-5M)."""

from __future__ import annotations

import math
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F


def subjective_pooling(quality: Tensor, tau: int = 12, beta: float = 0.5) -> Tensor:
    """Return the pooled quality of each step, shape (B, T): a mean of what a viewer remembers and what comes next.

    For step t this is the weighted mean of the worst of the last `tau` steps and the softmin-weighted mean of the next
    `tau` steps, both including t; both windows are cut at the ends of the video. Li, Jiang and Jiang, "Quality
    assessment of in-the-wild videos", 2019, section 3.3. The current step belongs to the memory as in the authors'
    code, with which the published weights were trained.

    Args:
        quality: Quality of each step, shape (B, T); any scale.
        tau: Steps in a window.
        beta: Weight of the coming steps; the weight of the memory is 1 - `beta`.
    """
    if quality.dim() != 2 or quality.shape[1] == 0:
        raise ValueError(f"`quality` has shape {tuple(quality.shape)}; expected (B, T) with at least one step.")
    steps = quality.shape[1]
    past = F.pad(quality, (tau - 1, 0), value=math.inf).unfold(1, tau, 1)
    memory = past.min(dim=2).values
    coming = F.pad(quality, (0, tau - 1)).unfold(1, tau, 1)
    beyond_end = F.pad(quality.new_zeros(steps), (0, tau - 1), value=1).unfold(0, tau, 1).bool()
    # Softmax within the window: exp(-q) alone overflows float32 below q = -88.
    weight = coming.neg().masked_fill(beyond_end, -math.inf).softmax(dim=2)
    return beta * (weight * coming).sum(dim=2) + (1 - beta) * memory


class GruPool(nn.Module):
    """Features over time -> quality of each step.

    VSFA is `GruPool(4096, 128, 32)`, the HVS-5M quality model `GruPool(8704, 256, 72)`.

    Args:
        dim: Width D of the features of one step.
        reduced_dim: Width after the linear reduction, which has no activation.
        hidden_dim: Width of the GRU; its state starts at zero.
    """

    def __init__(self, dim: int, reduced_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, reduced_dim)
        self.gru = nn.GRU(reduced_dim, hidden_dim, batch_first=True)
        self.quality = nn.Linear(hidden_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the quality of each step, shape (B, T), from `x` of shape (B, T, D)."""
        hidden, _ = self.gru(self.reduce(x))
        return cast("Tensor", self.quality(hidden).squeeze(2))


class LogisticMapping(nn.Module):
    """Relative quality in (0, 1) -> quality that is linear in the subjective scores: Linear, sigmoid, fixed identity.

    The first layer starts with slope 2 sqrt(3) and offset -sqrt(3), which give a uniform input unit variance (HVS-5M).
    The last layer keeps weight 1 and bias 0, because a linear layer does not change a correlation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Linear(1, 1)
        self.scale = nn.Linear(1, 1).requires_grad_(False)
        nn.init.constant_(self.slope.weight, 2 * math.sqrt(3))
        nn.init.constant_(self.slope.bias, -math.sqrt(3))
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.scale.bias)

    def forward(self, relative: Tensor) -> Tensor:
        """Return the mapped quality, shape (B,), from `relative` of shape (B,)."""
        return cast("Tensor", self.scale(self.slope(relative.unsqueeze(1)).sigmoid()).squeeze(1))


class Hvs5mHead(nn.Module):
    """HVS-5M's quality model: features over time -> one score.

    The authors have one more linear layer per data set. It only restores the scale of that set's scores, so it is left
    out.

    Args:
        dim: Width D of the features of one step; 8704 in HVS-5M.
        reduced_dim: Width after the linear reduction.
        hidden_dim: Width of the GRU.
    """

    def __init__(self, dim: int, reduced_dim: int = 256, hidden_dim: int = 72) -> None:
        super().__init__()
        self.pool = GruPool(dim, reduced_dim, hidden_dim)
        self.mapping = LogisticMapping()

    def relative(self, x: Tensor) -> Tensor:
        """Return relative quality in (0, 1), shape (B,), from `x` of shape (B, T, D)."""
        return subjective_pooling(self.pool(x)).mean(dim=1).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return quality linear in the subjective scores, shape (B,), from `x` of shape (B, T, D)."""
        return cast("Tensor", self.mapping(self.relative(x)))
