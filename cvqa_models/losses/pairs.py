"""Pairs of the videos of a group. A large group is compared block by block, so that not all its pairs are in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

AT_ONCE = 2**18
"""Pairs of one block."""

WHOLE = slice(None)


def differences(x: Tensor, rows: slice = WHOLE) -> Tensor:
    """Return x_i - x_j of all pairs whose i is in `rows`, shape (..., rows, n)."""
    return x[..., rows].unsqueeze(-1) - x.unsqueeze(-2)


def pair_weights(weight: Tensor, rows: slice = WHOLE) -> Tensor:
    """Return w_i w_j of all pairs whose i is in `rows`, shape (..., rows, n)."""
    return weight[..., rows].unsqueeze(-1) * weight.unsqueeze(-2)


def by_rows(of_pairs: Callable[..., Tensor], x: Tensor, *others: Tensor) -> list[Tensor]:
    """Return what a function gives for each block of rows; one block, if all pairs are few enough.

    If there are several blocks, what each computes is forgotten, and computed again for the backward pass.

    Args:
        of_pairs: Takes rows, `x` and `others`, and reduces the pairs of these rows with all others. Nothing else that
            it uses may need a gradient.
        x: Values of the videos, shape (..., n).
        others: Further tensors that may need a gradient.
    """
    n = x.shape[-1]
    if n * x.numel() <= 4 * AT_ONCE:
        return [of_pairs(WHOLE, x, *others)]
    step = max(1, AT_ONCE // x.numel())
    return [_Block.apply(of_pairs, slice(start, min(start + step, n)), x, *others) for start in range(0, n, step)]


def sums(of_pairs: Callable[..., tuple[Tensor, ...]], x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Return the sums over all pairs of the tensors that a function gives for rows, shape (...) each.

    Args:
        of_pairs: Takes rows, `x` and `others`, and returns values of pairs, shape (..., rows, n) each; see `by_rows`.
        x: Values of the videos, shape (..., n).
        others: Further tensors that may need a gradient.
    """

    def summed(rows: slice, *tensors: Tensor) -> Tensor:
        return torch.stack([value.sum((-2, -1)) for value in of_pairs(rows, *tensors)])

    return torch.stack(by_rows(summed, x, *others)).sum(0).unbind()


class _Block(torch.autograd.Function):
    """One block of rows. `torch.utils.checkpoint` does the same, but loads 300 MB of modules."""

    @staticmethod
    def forward(ctx: Any, of_pairs: Callable[..., Tensor], rows: slice, *tensors: Tensor) -> Tensor:
        ctx.of_pairs, ctx.rows = of_pairs, rows
        ctx.save_for_backward(*tensors)
        return of_pairs(rows, *tensors)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = [one.detach().requires_grad_() for one in ctx.saved_tensors]
        with torch.enable_grad():
            found = ctx.of_pairs(ctx.rows, *tensors)
        return None, None, *torch.autograd.grad(found, tensors, gradient)
