"""The training loss over a batch of whole groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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

Term = Callable[[Tensor, Tensor, Tensor], Tensor]


class GroupLoss(nn.Module):
    """A weighted sum of comparisons inside each group, summed over the groups of a batch.

    Every argument but the last two is the weight of a term, and 0 leaves the term out. The three correlations are in
    the same scale, (1 - r) / 2, and know neither scale nor level of the scores; `anchor` fixes the scale. `mse` fixes
    scale and level to those of `mos` itself: use it with `anchor: 0`. `pooled_plcc` alone looks across groups.

    Args:
        plcc: Pearson's correlation.
        srocc: Spearman's correlation, by sigmoid ranks.
        krocc: Kendall's correlation, by the tanh of differences.
        ranknet: Logistic loss of pairs.
        margin: Hinge loss of pairs.
        fisher: Pearson's correlation by Fisher's z.
        norm_in_norm: LinearityIQA's loss.
        fidelity: Fidelity loss of pairs.
        mse: Squared error to `mos` as it is.
        standard_mse: Squared error to `mos` standardised in its group.
        pooled_plcc: Pearson's correlation over all videos of the batch on this device, whatever their group, for labels
            that compare across groups, such as VMAF.
        anchor: Weak pull of the group-centred scores to the group-standardised `mos`.
        temperature: Softness of ranks and pairs in `srocc` and `krocc`, in units of a group's spread of predictions.
        by_size: Whether a group counts as often as it has videos, as in the challenge's evaluation, or once.

    Attributes:
        across: Whether a term looks across groups, so that it must see them all at once.

    Raises:
        ValueError: If a weight is negative, all are 0, or `temperature` is not positive.
    """

    def __init__(
        self,
        *,
        plcc: float = 1.0,
        srocc: float = 1.0,
        krocc: float = 1.0,
        ranknet: float = 0.0,
        margin: float = 0.0,
        fisher: float = 0.0,
        norm_in_norm: float = 0.0,
        fidelity: float = 0.0,
        mse: float = 0.0,
        standard_mse: float = 0.0,
        pooled_plcc: float = 0.0,
        anchor: float = 0.05,
        temperature: float = 0.3,
        by_size: bool = False,
    ) -> None:
        super().__init__()
        self.by_size = by_size
        if temperature <= 0:
            raise ValueError(f"`temperature` is {temperature}; expected a positive number.")
        # Name -> weight, function, smallest group that it can teach: two points always lie on a line.
        terms: dict[str, tuple[float, Term, int]] = {
            "plcc": (plcc, plcc_loss, 3),
            "srocc": (srocc, partial(srocc_loss, temperature=temperature), 3),
            "krocc": (krocc, partial(krocc_loss, temperature=temperature), 2),
            "ranknet": (ranknet, ranknet_loss, 2),
            "margin": (margin, margin_loss, 2),
            "fisher": (fisher, fisher_loss, 3),
            "norm_in_norm": (norm_in_norm, norm_in_norm_loss, 3),
            "fidelity": (fidelity, fidelity_loss, 2),
            "mse": (mse, mse_loss, 2),
            "standard_mse": (standard_mse, standard_mse_loss, 2),
            "pooled_plcc": (pooled_plcc, _pooled_plcc_loss, 2),
            "anchor": (anchor, anchor_loss, 2),
        }
        for name, (factor, _, _) in terms.items():
            if factor < 0:
                raise ValueError(f"The weight of `{name}` is {factor}; expected 0 or more.")
        self.across = pooled_plcc > 0
        self._terms = {name: term for name, term in terms.items() if term[0] > 0}
        if not self._terms:
            raise ValueError("All weights of the loss are 0; give at least one term a positive weight.")

    def forward(self, pred: Tensor, mos: Tensor, group: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over all valid groups, and their number, or with `by_size` that of their videos.

        A group is valid with at least two labelled videos whose labels differ. Without any valid group the sum is a 0
        that still takes part in the backward pass, as every rank must.

        Args:
            pred: Predicted scores, shape (B,). Arithmetic is in float32 (float64 stays) whatever autocast says.
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
            # A padded row of one video would still be asked for pairs; at least two places make every shape legal.
            dense = nn.functional.pad(dense, (0, max(0, 2 - dense.shape[-1])))
            value, count = self.per_group(*dense)
            return value.sum() + 0 * pred.sum(), count.sum()

    def per_group(self, pred: Tensor, mos: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of groups that are padded with weight 0, and how often each counts, shapes (..., G) both.

        A group that is not valid counts 0 times, others once or, with `by_size`, once per video; the loss is that of
        all these times.

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
        for factor, term, smallest in self._terms.values():
            taught = valid & (size >= smallest)
            value = value + factor * torch.where(taught, term(pred, mos, weight), 0)
        count = size * valid if self.by_size else valid.long()
        return value * count, count


def _pooled_plcc_loss(pred: Tensor, mos: Tensor, weight: Tensor) -> Tensor:
    """Return Pearson's loss over all groups together, shape (..., 1), from padded groups of shape (..., G, m)."""
    return plcc_loss(pred.flatten(-2), mos.flatten(-2), weight.flatten(-2)).unsqueeze(-1)


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
