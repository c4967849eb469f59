"""The training loss over a batch of whole groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from cvqa_models.losses.correlation import (
    anchor_loss,
    fisher_loss,
    krocc_loss,
    margin_loss,
    mse_loss,
    plcc_loss,
    ranknet_loss,
    srocc_loss,
    standard_mse_loss,
)
from cvqa_models.losses.published import fidelity_loss, norm_in_norm_loss


@runtime_checkable
class Loss(Protocol):
    """The interface of a loss, ours or from another package; no base class is needed."""

    def forward(self, pred: Tensor, mos: Tensor, group: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over all groups of a batch, a scalar, and how often groups count in it, int64.

        If no group counts, the sum is 0, but still takes part in the backward pass, because every rank must.

        Args:
            pred: Predicted scores, float32, shape (B,).
            mos: Subjective scores, shape (B,); NaN marks a video without a label.
            group: Group of each video, integers, shape (B,); only scores of one group compare.
            weight: Non-negative label weights, shape (B,); 0 leaves a video out, None is 1 everywhere.
        """


class Term(NamedTuple):
    """One term of the loss.

    Attributes:
        function: Takes predictions, labels and weights of G groups, padded with weight 0 to m videos, shape (..., G, m)
            each; gives one value per group, shape (..., G).
        smallest: Smallest group from which it can learn; for example, two points always lie on a line.
        soft: Whether the function takes the loss's `temperature`.
        across: Whether it compares across groups, so that it needs all groups at once; its value has shape (..., 1).
    """

    function: Callable[..., Tensor]
    smallest: int = 2
    soft: bool = False
    across: bool = False


def pooled_plcc_loss(pred: Tensor, mos: Tensor, weight: Tensor) -> Tensor:
    """Return Pearson's loss over all groups together, shape (..., 1), from padded groups of shape (..., G, m)."""
    return plcc_loss(pred.flatten(-2), mos.flatten(-2), weight.flatten(-2)).unsqueeze(-1)


TERMS = {
    "plcc": Term(plcc_loss, smallest=3),
    "srocc": Term(srocc_loss, smallest=3, soft=True),
    "krocc": Term(krocc_loss, soft=True),
    "ranknet": Term(ranknet_loss),
    "margin": Term(margin_loss),
    "fisher": Term(fisher_loss, smallest=3),
    "norm_in_norm": Term(norm_in_norm_loss, smallest=3),
    "fidelity": Term(fidelity_loss),
    "mse": Term(mse_loss),
    "standard_mse": Term(standard_mse_loss),
    "pooled_plcc": Term(pooled_plcc_loss, across=True),
    "anchor": Term(anchor_loss),
}
USUAL = {"plcc": 1.0, "srocc": 1.0, "krocc": 1.0, "anchor": 0.05}


class GroupLoss(nn.Module):
    """A weighted sum of comparisons inside each group, summed over the groups of a batch.

    The terms, each a row of `TERMS`:

    - `plcc`, `srocc`, `krocc`: the three correlations as (1 - r) / 2, Spearman's by sigmoid ranks and Kendall's by the
      tanh of differences. They do not depend on scale and offset of the scores.
    - `anchor`: distance of the group-centred scores to the group-standardised `mos`, with a small weight; it fixes the
    scale.
    - `ranknet`, `margin`, `fidelity`: logistic, hinge and fidelity loss of pairs.
    - `fisher`: Pearson's correlation by Fisher's z.
    - `norm_in_norm`: LinearityIQA's loss.
    - `mse`: squared error to `mos` as it is; it fixes scale and offset, so use it without `anchor`.
    - `standard_mse`: squared error to `mos` standardised in its group.
    - `pooled_plcc`: Pearson's correlation over all videos of the batch on this device, whatever their group, for labels
      that compare across groups, such as VMAF.

    Args:
        terms: Name of a term -> its weight; a term that is not named is left out. Null is the three correlations with
            weight 1 and `anchor` with 0.05.
        temperature: Softness of ranks and pairs in `srocc` and `krocc`, in units of a group's spread of predictions.
        by_size: Whether a group counts once per video, as in the challenge's evaluation; otherwise it counts once.

    Attributes:
        across: Whether a term compares across groups, so that it needs all groups at once.

    Raises:
        ValueError: If a term is unknown, a weight is negative, all are 0, or `temperature` is not positive.
    """

    def __init__(
        self, terms: dict[str, float] | None = None, *, temperature: float = 0.3, by_size: bool = False
    ) -> None:
        super().__init__()
        terms = USUAL if terms is None else terms
        for name, factor in terms.items():
            if name not in TERMS:
                raise ValueError(f"`terms` names {name!r}, which is no term; expected some of {', '.join(TERMS)}.")
            if not 0 <= factor < math.inf:
                raise ValueError(f"The weight of `{name}` is {factor}; expected a finite number, 0 or more.")
        if not any(terms.values()):
            raise ValueError("All weights of the loss are 0; give at least one term a positive weight.")
        if temperature <= 0:
            raise ValueError(f"`temperature` is {temperature}; expected a positive number.")
        self.by_size = by_size
        # In the order of `TERMS`, so that the order in a configuration does not change the bits of the sum.
        self._terms = [(terms[name], term) for name, term in TERMS.items() if terms.get(name, 0) > 0]
        self._temperature = temperature
        self.across = any(term.across for _, term in self._terms)

    def forward(self, pred: Tensor, mos: Tensor, group: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over all valid groups, and their number (with `by_size`, that of their videos).

        A group is valid if it has at least two labelled videos whose labels differ. If no group is valid, the sum is 0,
        but still takes part in the backward pass, because every rank must.

        Args:
            pred: Predicted scores, shape (B,). Arithmetic is in float32 (or float64 if given), even under autocast.
            mos: Subjective scores, shape (B,); NaN marks a video without a label, which is left out.
            group: Group of each video, integers, shape (B,).
            weight: Non-negative label weights, shape (B,); 0 leaves a video out.

        Returns:
            Scalar sum in float32 (or float64) and int64 scalar.

        Raises:
            ValueError: If the four shapes are not the same (B,).
        """
        weight = torch.ones_like(mos) if weight is None else weight
        shapes = [tuple(tensor.shape) for tensor in (pred, mos, group, weight)]
        if pred.ndim != 1 or len(set(shapes)) > 1:
            raise ValueError(
                f"`pred`, `mos`, `group` and `weight` have shapes {shapes}; expected the same (B,) for all."
            )
        with torch.autocast(pred.device.type, enabled=False):
            pred = pred if pred.dtype == torch.float64 else pred.float()
            used = ~mos.isnan() & (weight > 0)
            columns = torch.stack([pred[used], mos[used].to(pred), weight[used].to(pred)])
            dense = pad_groups(columns, group[used])
            # The terms need pairs, so rows have at least two places, even if a group has one video.
            dense = nn.functional.pad(dense, (0, max(0, 2 - dense.shape[-1])))
            value, count = self.per_group(*dense)
            return value.sum() + 0 * pred.sum(), count.sum()

    def per_group(self, pred: Tensor, mos: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of groups that are padded with weight 0, and how often each counts, shapes (..., G) both.

        A valid group counts once or, with `by_size`, once per video; its loss is multiplied by that count. Other groups
        count 0.

        Args:
            pred: Predicted scores, float32 or float64, shape (..., G, m) with m >= 2.
            mos: Subjective scores, finite, same shape.
            weight: Label weights, same shape.
        """
        present = weight > 0
        size = present.sum(-1)
        highest = mos.masked_fill(~present, -torch.inf).amax(-1)
        lowest = mos.masked_fill(~present, torch.inf).amin(-1)
        valid = (size >= 2) & (highest > lowest)
        value = pred.new_zeros(pred.shape[:-1])
        for factor, term in self._terms:
            options = {"temperature": self._temperature} if term.soft else {}
            taught = valid & (size >= term.smallest)
            value = value + factor * torch.where(taught, term.function(pred, mos, weight, **options), 0)
        count = size * valid if self.by_size else valid.long()
        return value * count, count


def pad_groups(columns: Tensor, group: Tensor) -> Tensor:
    """Return `columns` with the videos of each group in one row, padded with 0 to the largest group.

    Args:
        columns: Any values per video, shape (K, B).
        group: Group of each video, integers, shape (B,).

    Returns:
        Shape (K, G, m): G groups in rising order of their number, each with its videos in batch order.
    """
    if group.numel() == 0:
        return columns.new_zeros(len(columns), 0, 0)
    row, count = torch.unique(group, return_inverse=True, return_counts=True)[1:]
    order = torch.argsort(row, stable=True)
    row = row[order]
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    dense = columns.new_zeros(len(columns), len(count), int(count.max()))
    every = torch.arange(len(columns), device=row.device).unsqueeze(-1)
    return dense.index_put((every, row, place), columns[:, order])
