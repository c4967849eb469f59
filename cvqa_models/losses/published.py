"""Losses of published systems, exactly as published, for comparison; prefer the losses in `correlation`."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.losses.correlation import centred, checked_weight
from cvqa_models.losses.pairs import differences, pair_weights, sums


def norm_in_norm_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, eps: float = 1e-8) -> Tensor:
    """Return the mean absolute error of scores that are centred and scaled to unit norm, over 2 sqrt(n).

    LinearityIQA's norm-in-norm loss (Li et al. 2020) with the paper's p = 1, q = 2. Its gradient stays large near
    convergence.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); any affine scale.
        weight: Non-negative weights, shape (..., n); 0 leaves a video out.
        eps: Added to each norm, as published; a constant `pred` has a gradient of 1 / eps.

    Returns:
        One value per group, shape (...), in [0, 1].

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    unit = []
    for x in (pred, mos):
        x = centred(x, weight) * weight.sqrt()
        unit.append(x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + eps))
    error: Tensor = ((unit[0] - unit[1]).abs() * weight.sqrt()).sum(-1)
    return error / (2 * weight.sum(-1).clamp(min=1).sqrt())


def fidelity_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean fidelity loss of all pairs (UNIQUE, Zhang et al. 2021; LIQE's ranking loss), in [0, 1].

    The probability that i is better than j is the normal distribution at pred_i - pred_j, as in LIQE's code (the paper
    divides by sqrt(2)), so scores must spread over several units. Pairs with equal `mos` have the target 1/2.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); only their order counts.
        weight: Non-negative weights, shape (..., n); a pair weighs the product of its two.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)

    def losses(rows: slice, pred: Tensor) -> tuple[Tensor, Tensor]:
        better: Tensor = torch.special.ndtr(differences(pred, rows))
        target = (torch.sign(differences(mos, rows)) + 1) / 2
        loss = 1 - (better * target + 1e-8).sqrt() - ((1 - better) * (1 - target) + 1e-8).sqrt()
        pairs = torch.triu(pair_weights(weight, rows), diagonal=1 + (rows.start or 0))  # each pair once
        return pairs * loss, pairs

    loss, pairs = sums(losses, pred)
    return loss / pairs.clamp(min=torch.finfo(pred.dtype).tiny)


def dover_plcc_loss(pred: Tensor, mos: Tensor) -> Tensor:
    """Return the "PLCC loss" of FAST-VQA, DOVER, COVER and RQ-VQA: (1 - r) / 4 + (1 - r^2) / 8, in [0, 0.5].

    Its gradient is 0 at r = -1, the worst prediction: use `plcc_loss` unless a published training is repeated.

    Args:
        pred: Predicted scores, shape (n,), n >= 2.
        mos: Subjective scores, shape (n,).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    checked_weight(pred, mos, None)
    x, y = ((v - v.mean(-1)) / (v.std(-1, unbiased=False) + 1e-8) for v in (pred, mos))
    rho = (x * y).mean(-1)
    return ((x - y).square().mean(-1) / 4 + (rho * x - y).square().mean(-1) / 4) / 2


def dover_rank_loss(pred: Tensor, mos: Tensor) -> Tensor:
    """Return DOVER's "rank loss", in [0, 1): the hinge of wrongly ordered pairs, divided by one plus the largest hinge.

    Args:
        pred: Predicted scores, shape (n,), n >= 2.
        mos: Subjective scores, shape (n,).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    checked_weight(pred, mos, None)
    n = pred.shape[-1]
    wrong = torch.relu(-differences(pred) * torch.sign(differences(mos)))
    return wrong.sum() / (n * (n - 1)) / (1 + wrong.max())
