"""Ridge regression that weighs what tells videos of one group apart and what tells groups apart, each by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupRidge:
    """Fits a linear function in closed form (ours).

    Squared errors are split into those inside groups and those of the groups' means. In usual regression both count
    alike. But the means of groups say mostly how a source was filmed, and a few hundred sources are soon learnt by
    heart; the order inside a group is what holds for new sources too.

    Attributes:
        penalty: Weight of the squared coefficients, for features of deviation 1; above 0.
        between: Weight of the errors of group means, where that of errors inside groups is 1; 0 or more.

    Raises:
        ValueError: If a value is outside these limits.

    Examples:
        >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
        >>> coefficients, intercept = GroupRidge(1e-6, 0.0).fit(x, torch.tensor([0.0, 2.0, 0.0, 2.0]), [0, 0, 1, 1])
        >>> round(coefficients.item(), 3), round(intercept, 3)  # inside each group, scores rise by 2
        (2.0, -5.0)
    """

    penalty: float = 1.0
    between: float = 0.3

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise ValueError(f"`penalty` is {self.penalty}; expected a number above 0.")
        if not self.between >= 0:
            raise ValueError(f"`between` is {self.between}; expected 0 or more.")

    def fit(self, x: Tensor, y: Tensor, group: list[int], weight: Tensor | None = None) -> tuple[Tensor, float]:
        """Return the coefficients, float32, shape (D,), and the intercept; computed on the CPU in double precision.

        Args:
            x: Features, shape (n, D).
            y: What is to be predicted, shape (n,).
            group: Group of each row, n numbers.
            weight: Weight of each row, shape (n,); None for 1.
        """
        x, y = x.double().cpu(), y.double().cpu()
        weight = torch.ones_like(y) if weight is None else weight.double().cpu()
        _, place = torch.unique(torch.tensor(group), return_inverse=True)
        own = torch.zeros(int(place.max()) + 1, len(y), dtype=torch.float64)
        own[place, torch.arange(len(y))] = weight
        own /= own.sum(1, keepdim=True)  # the weighted mean of each group is a product with this
        mean_x, mean_y = own @ x, own @ y
        inside, rest = x - mean_x[place], y - mean_y[place]
        across, gap = mean_x - mean_x.mean(0), mean_y - mean_y.mean()
        share = (weight / weight.sum()).unsqueeze(1)
        square = inside.T @ (share * inside) + self.between * across.T @ across / len(own)
        square.diagonal().add_(self.penalty)
        found = torch.linalg.solve(square, (share * inside).T @ rest + self.between * across.T @ gap / len(own))
        return found.float(), float((share.squeeze(1) * (y - x @ found)).sum())
