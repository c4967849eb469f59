"""The contract of a feature source: what it sees, how wide its answer is, and whether its weights are fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cvqa_models.types import Demand
from cvqa_models.video.view import View
from cvqa_models.weights import digest


class Branch(nn.Module, ABC):
    """A feature source: uint8 view in, tokens over time out.

    Mean and standard deviation are buffers of the branch, because they belong to its weights. A constructor builds
    the network, loads weights that lie on this machine, and never opens a network connection.

    Args:
        view: What to decode.
        dim: Width D of a token.
        frozen: Whether the weights are fixed. The owner applies it with `freeze()`.
        variant: What tells apart two branches of one class with equal weights and view, such as the tapped pathway.
    """

    def __init__(self, view: View, dim: int, *, frozen: bool = False, variant: str = "") -> None:
        super().__init__()
        self.view = view
        self.dim = dim
        self.frozen = frozen
        self.variant = variant

    @abstractmethod
    def tokens(self, x: Tensor) -> Tensor:
        """Return one feature vector per clip, float, shape (B, N, D), from uint8 `x` of shape (B, N, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one feature vector per video, shape (B, D): the mean of the tokens over clips."""
        return self.tokens(x).mean(dim=1)

    def freeze(self) -> None:
        """Apply `frozen`: parameters without gradient and the module in eval mode for good; else see `train`."""
        if self.frozen:
            self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Branch:
        """Set training mode; a frozen branch stays in eval mode, and so does batch normalisation in any branch.

        A batch holds encodes of one source, so its statistics would leak between them, and would differ when videos
        pass a few at a time. The running statistics of the weights stay; scale and shift still learn.
        """
        super().train(mode and not self.frozen)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    @property
    def demand(self) -> Demand:
        """Return the view and, for a frozen branch with a deterministic view, the key of its features in a store."""
        if not self.frozen or self.view.random:
            return Demand(self.view, None)
        parts = [type(self).__name__, self.variant, self.view.key, digest(self)[:12]]
        return Demand(self.view, "-".join(part for part in parts if part))
