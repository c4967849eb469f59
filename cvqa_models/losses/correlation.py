"""The challenge's three correlations as losses, each in [0, 1], for one group or many at once.

Every function takes the videos of a group in the last dimension and gives one value per group. A weight of 0 leaves a
video out, so groups of different sizes can be stacked by padding with weight 0. Sources: the "recommended design" of
group-wise training (ours), with (1 - r) / 2 as in HVS-5M, sigmoid ranks, and the pairwise tanh of DiffKendall.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.losses.pairs import by_rows, differences, pair_weights, sums


def plcc_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, eps: float = 1e-4) -> Tensor:
    """Return half of one minus Pearson's r, in [0, 1]; 0 when `pred` is a rising line in `mos`.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores in the same order, shape (..., n); any affine scale, finite.
        weight: Non-negative weights of the videos, shape (..., n); 0 leaves a video out. None is 1 everywhere.
        eps: Added to the sum of squares of the centred scores, under the root. It limits the gradient of a constant
            group to 1 / (2 sqrt(eps)), and is small compared with the spread of any group with an order.

    Returns:
        One value per group, shape (...); 0.5 for a constant input, with a finite gradient.

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    return (1 - _pearson(pred, mos, weight, eps)) / 2


def fisher_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, eps: float = 1e-4) -> Tensor:
    """Return how far Fisher's z of 0.999 Pearson's r lies below its highest value, in [0, 7.6]; 0 when r is 1.

    Unlike `plcc_loss` it still has a gradient for groups that are almost right: z grows without limit as r comes near
    1, and the factor 0.999 limits it (ours).

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); any affine scale, finite.
        weight: Non-negative weights of the videos, shape (..., n); 0 leaves a video out.
        eps: As in `plcc_loss`.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    highest = torch.tensor(0.999, dtype=pred.dtype, device=pred.device)
    return highest.atanh() - (highest * _pearson(pred, mos, weight, eps)).atanh()


def srocc_loss(
    pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, temperature: float = 0.3, eps: float = 1e-4
) -> Tensor:
    """Return half of one minus Spearman's rho of sigmoid ranks of `pred` with exact mid-ranks of `mos`, in [0, 1].

    A video's soft rank is the sum of sigmoid(difference / T) over its group, so ties have the same rank. T is a part of
    the
    graph: with a detached T, the gradient would make the scores grow without limit.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); only their order counts.
        weight: Non-negative weights, shape (..., n); 0 leaves a video out.
        temperature: T in units of the group's own spread of predictions; for T near 0 this is Spearman's rho.
        eps: As in `plcc_loss`, for ranks scaled to (0, 1).

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    width = _width(pred, weight, temperature)
    others = weight.unsqueeze(-2) / _nonzero(weight.sum(-1, keepdim=True)).unsqueeze(-1)

    def ranks(rows: slice, pred: Tensor, width: Tensor) -> Tensor:
        soft = torch.sigmoid(differences(pred, rows) / width)
        hard = (torch.sign(differences(mos, rows)) + 1) / 2
        return torch.stack([(soft * others).sum(-1), (hard * others).sum(-1)])

    soft, hard = torch.cat(by_rows(ranks, pred, width), dim=-1)
    return (1 - _pearson(soft, hard, weight, eps)) / 2


def krocc_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, temperature: float = 0.3) -> Tensor:
    """Return half of one minus a smooth Kendall's tau, in [0, 1]: the tanh of differences against the order of `mos`.

    Pairs with equal `mos` do not count. T is a part of the graph, as in `srocc_loss`.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); only their order counts.
        weight: Non-negative weights, shape (..., n); the weight of a pair is the product of both.
        temperature: T in units of the group's own spread of predictions; for T near 0 this is tau over untied pairs.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    width = _width(pred, weight, temperature)

    def agreement(rows: slice, pred: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        order = torch.sign(differences(mos, rows)) * pair_weights(weight, rows)
        return order * torch.tanh(differences(pred, rows) / width), order.abs()

    agreed, all_pairs = sums(agreement, pred, width)
    return (1 - agreed / _nonzero(all_pairs)) / 2


def ranknet_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean logistic loss of all ordered pairs (RankNet, Burges et al. 2005), >= 0; log 2 for a constant.

    It has no temperature: one unit of `pred` means odds of e, so this loss alone sets the scale of the scores.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); pairs with equal values do not count.
        weight: Non-negative weights, shape (..., n); a pair weighs the product of its two.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)

    def losses(rows: slice, pred: Tensor) -> tuple[Tensor, Tensor]:
        better = (differences(mos, rows) > 0) * pair_weights(weight, rows)
        return better * torch.nn.functional.softplus(-differences(pred, rows)), better

    loss, pairs = sums(losses, pred)
    return loss / _nonzero(pairs)


def margin_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None, *, margin: float = 0.3) -> Tensor:
    """Return the mean hinge of all ordered pairs, >= 0: how much the difference of a pair is below `margin`.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); pairs with equal values do not count.
        weight: Non-negative weights, shape (..., n); a pair weighs the product of its two.
        margin: Difference that is enough, in units of the group's own spread of predictions.

    Returns:
        One value per group, shape (...); `margin` for a constant `pred`.

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    width = _width(pred, weight, 1.0)

    def lacking(rows: slice, pred: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        better = (differences(mos, rows) > 0) * pair_weights(weight, rows)
        return better * torch.relu(margin - differences(pred, rows) / width), better

    lacks, pairs = sums(lacking, pred, width)
    return lacks / _nonzero(pairs)


def mse_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean squared error of `pred` against `mos`, without any scaling, >= 0, in squared units of `mos`.

    Args:
        pred: Predicted scores, shape (..., n).
        mos: Subjective scores, shape (..., n).
        weight: Non-negative weights, shape (..., n); 0 leaves a video out.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    return _mean((pred - mos).square(), weight).squeeze(-1)


def standard_mse_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean squared error of `pred` against `mos` standardised in its group, >= 0.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); any affine scale.
        weight: Non-negative weights, shape (..., n); 0 leaves a video out.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    return mse_loss(pred, _standardised(mos, weight), weight)


def anchor_loss(pred: Tensor, mos: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean Huber distance of `pred` to `mos`, both centred and `mos` also scaled to unit spread, >= 0.

    The correlations do not depend on the scale of the scores; a small weight of this term keeps the scale the same in
    every training. The offset stays free, because groups have no common offset.

    Args:
        pred: Predicted scores, shape (..., n), n >= 2.
        mos: Subjective scores, shape (..., n); any affine scale.
        weight: Non-negative weights, shape (..., n); 0 leaves a video out.

    Returns:
        One value per group, shape (...).

    Raises:
        ValueError: If the shapes differ or n < 2.
    """
    weight = checked_weight(pred, mos, weight)
    label = _standardised(mos, weight)
    distance = torch.nn.functional.huber_loss(centred(pred, weight), label, reduction="none")
    return _mean(distance, weight).squeeze(-1)


def checked_weight(pred: Tensor, mos: Tensor, weight: Tensor | None) -> Tensor:
    """Return `weight`, or ones for None, after a check of the shapes.

    Raises:
        ValueError: If the shapes differ, or the last dimension is below 2.
    """
    shapes = {tuple(tensor.shape) for tensor in (pred, mos, weight) if tensor is not None}
    if len(shapes) > 1 or pred.ndim == 0:
        raise ValueError(
            f"`pred`, `mos` and `weight` have shapes {sorted(shapes)}; expected the same (..., n) for all."
        )
    if pred.shape[-1] < 2:
        raise ValueError(f"`pred` has {pred.shape[-1]} video; a group needs at least 2 to be compared.")
    return torch.ones_like(pred) if weight is None else weight.to(pred.dtype)


def centred(x: Tensor, weight: Tensor) -> Tensor:
    """Return `x` minus its weighted mean over the group; a constant group gives exact zeros."""
    # First subtract one of the values, so that zeros are exact: the rounded mean of equal floats may differ from them.
    origin = x.detach().masked_fill(weight == 0, torch.inf).amin(-1, keepdim=True)
    shifted = x - torch.where(origin.isinf(), 0.0, origin)
    return shifted - _mean(shifted, weight)


def _standardised(mos: Tensor, weight: Tensor) -> Tensor:
    label = _near_one(centred(mos, weight), weight)
    return label / _nonzero(_mean(label.square(), weight).sqrt())


def _near_one(target: Tensor, weight: Tensor) -> Tensor:
    """Return labels divided by a power of two, so that the largest is in [1, 2): squares of 1e20 overflow float32."""
    largest = _nonzero((target * (weight > 0)).abs().amax(-1, keepdim=True))
    return target / (largest / (2 * torch.frexp(largest).mantissa))


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum(-1, keepdim=True) / _nonzero(weight.sum(-1, keepdim=True))


def _nonzero(x: Tensor) -> Tensor:
    """Return `x` with 1 in place of 0, to divide sums that are 0 wherever `x` is."""
    return torch.where(x == 0, torch.ones_like(x), x)


def _pearson(x: Tensor, target: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return the weighted correlation; `target` carries no gradient and is scaled exactly, `x` with `eps`."""
    x = centred(x, weight)
    target = _near_one(centred(target, weight), weight)
    target = target / _nonzero((weight * target.square()).sum(-1, keepdim=True).sqrt())
    return (weight * x * target).sum(-1) / ((weight * x.square()).sum(-1) + eps).sqrt()


def _width(pred: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return T of each group, shape (..., 1, 1): `temperature` times the population spread, never 0."""
    variance = _mean(centred(pred, weight).square(), weight)
    return temperature * (variance + 1e-4).sqrt().unsqueeze(-1)
