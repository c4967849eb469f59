"""Make one score of the tokens of several branches: pooling over time and a fully connected head."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["mean", "mean_std", "attention"]
Norm = Literal["layer", "standard"]


class TemporalPool(nn.Module):
    """Pool the tokens of one branch over time (ours).

    Args:
        dim: Width D of a token.
        pooling: `mean`; `mean_std`, the mean and the population deviation (for drops of quality that a mean hides); or
            `attention`, a weighted mean with learned weights, which starts as the plain mean.
    """

    def __init__(self, dim: int, pooling: Pooling = "mean") -> None:
        super().__init__()
        if pooling not in ("mean", "mean_std", "attention"):
            raise ValueError(f"`pooling` is {pooling!r}; expected 'mean', 'mean_std' or 'attention'.")
        self.pooling = pooling
        self.dim = 2 * dim if pooling == "mean_std" else dim
        if pooling == "attention":
            self.weight = nn.Linear(dim, 1)
            nn.init.zeros_(self.weight.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return one vector per video, shape (B, `dim`), from tokens of shape (B, N, D)."""
        if self.pooling == "mean_std":
            mean = tokens.mean(1)
            # Torch's `std` over a dimension other than the last takes six times as long.
            variance = (tokens - mean.unsqueeze(1)).square().mean(1)
            varies = variance > 0  # the root has no gradient at 0
            spread = torch.where(varies, variance, 1).sqrt() * varies
            return torch.cat([mean, spread], dim=1)
        if self.pooling == "attention":
            weights: Tensor = self.weight(tokens).softmax(dim=1)
            return (weights * tokens).sum(1)
        return tokens.mean(1)


class Standardise(nn.Module):
    """Shift and scale each feature by its mean and deviation over training videos, then limit it (ours).

    It is for measured values with different units, for which a `LayerNorm` over the values of one video makes no sense.
    The statistics are buffers: a checkpoint holds them, and a score does not depend on other videos.

    Args:
        dim: Number of features.
        limit: Largest absolute value of the result, in deviations.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int, limit: float = 5.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def fit(self, x: Tensor) -> None:
        """Take the statistics of training videos, shape (n, dim); a constant feature becomes 0."""
        self.mean = x.mean(0)
        self.deviation = x.std(0, correction=0)
        self.deviation[self.deviation == 0] = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return standardised features, shape (B, dim)."""
        return ((x - self.mean) / self.deviation).clamp(-self.limit, self.limit)


class FcHead(nn.Module):
    """Score a video from its branch vectors: a norm per branch, linear, GELU, dropout, linear (ours).

    Each vector is normalised by itself: widths and scales of branches differ by orders of magnitude, so with one norm
    over all of them only the largest would matter. Batch statistics are not used, because a score must not depend on
    the other videos in the batch.

    Args:
        dims: Widths of the branch vectors, in the order in which they are given.
        hidden: Width of the hidden layer; None for a purely linear head.
        dropout: Probability of dropping a hidden unit, in [0, 1).
        norm: `layer` normalises over the features of a video, `standard` each feature over training videos.
    """

    def __init__(self, dims: list[int], hidden: int | None = 128, dropout: float = 0.1, norm: Norm = "layer") -> None:
        super().__init__()
        if norm not in ("layer", "standard"):
            raise ValueError(f"`norm` is {norm!r}; expected 'layer' or 'standard'.")
        self.norms = nn.ModuleList(nn.LayerNorm(dim) if norm == "layer" else Standardise(dim) for dim in dims)
        if hidden is None:
            self.body: nn.Module = nn.Identity()
        else:
            self.body = nn.Sequential(nn.Linear(sum(dims), hidden), nn.GELU(), nn.Dropout(dropout))
        self.last = nn.Linear(sum(dims) if hidden is None else hidden, 1)
        if norm == "standard":
            # Weights start near zero, so that early stopping gives small weights; torch's own start would leave its
            # noise in them.
            nn.init.normal_(self.last.weight, std=0.01)

    @torch.no_grad()
    def fit(self, vectors: list[Tensor], mos: Tensor) -> None:
        """Set the statistics of the inputs, and let scores start at the mean label.

        Args:
            vectors: One (n, D_i) tensor per branch, of training videos.
            mos: Their subjective scores, shape (n,).
        """
        for norm, vector in zip(self.norms, vectors, strict=True):
            if isinstance(norm, Standardise):
                norm.fit(vector)
        self.last.bias.fill_(float(mos.mean()))

    def forward(self, vectors: list[Tensor]) -> Tensor:
        """Return scores, shape (B,), from one (B, D_i) tensor per branch."""
        normed = [norm(vector) for norm, vector in zip(self.norms, vectors, strict=True)]
        score: Tensor = self.last(self.body(torch.cat(normed, dim=1))).squeeze(1)
        return score


def linear_head(dim: int, hidden: int = 128) -> nn.Sequential:
    """Return two linear layers without activation, from (..., dim) to (..., 1), as in E-VQA and CompressedVQA-HDR."""
    return nn.Sequential(nn.Linear(dim, hidden), nn.Linear(hidden, 1))
