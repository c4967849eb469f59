"""The contract of a branch: what it sees, how wide its tokens are, and whether its weights are fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cvqa_models.types import Demand
from cvqa_models.video.view import View
from cvqa_models.weights.exact import digest
from cvqa_models.weights.sources import Sources


class Branch(nn.Module, ABC):
    """A feature source: uint8 view in, tokens over time out.

    Mean and standard deviation are buffers of the branch, because they belong to its weights. A constructor builds
    the network, loads weights that lie on this machine, and never opens a network connection.

    Args:
        view: What to decode; None if the input is measured values, which no frame contains.
        dim: Width D of a token.
        frozen: Whether the weights are fixed. The owner applies it with `freeze()`.
        variant: Text that distinguishes two branches of the same class, weights and view, such as the pathway in use.

    Attributes:
        sources: Part -> where its weights came from; a constructor reads weights through `sources.take`.
    """

    def __init__(self, view: View | None, dim: int, *, frozen: bool = False, variant: str = "") -> None:
        super().__init__()
        self.view = view
        self.dim = dim
        self.frozen = frozen
        self.variant = variant
        self.sources = Sources()
        self._fixed_digest: str | None = None

    seeds: Tensor | None = None
    """The `seeds` of the videos that `tokens` sees next; the owner sets them before each call."""

    def generators(self) -> list[torch.Generator] | None:
        """Return a generator per video for the random draws of this branch; None in evaluation, which draws nothing.

        With these, the videos of a group are cut at the same places, however many are computed at a time.
        """
        if not self.training or self.seeds is None:
            return None
        return [torch.Generator().manual_seed(seed) for seed in self.seeds.tolist()]

    @abstractmethod
    def tokens(self, x: Tensor) -> Tensor:
        """Return one feature vector per clip, float, shape (B, N, D), from uint8 `x` of shape (B, N, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return one feature vector per video, shape (B, D): the mean of the tokens over clips."""
        return self.tokens(x).mean(dim=1)

    def freeze(self) -> None:
        """Apply `frozen`: parameters get no gradient, and the module stays in eval mode; if not frozen, see `train`."""
        if self.frozen:
            self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Branch:
        """Set training mode; a frozen branch stays in eval mode, and so does batch normalisation in any branch.

        A batch holds encodes of one source. Its statistics would carry information from one encode to another, and
        would differ if only a few videos are computed at a time. So the running statistics of the weights stay fixed;
        scale and shift still learn.
        """
        super().train(mode and not self.frozen)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def layers(self) -> list[list[nn.Parameter]]:
        """Return all parameters by layer, from the input on, for `Recipe.layer_decay`; one layer unless overridden."""
        return [list(self.parameters())]

    @property
    def demand(self) -> Demand:
        """Return the view and, for a frozen branch with a deterministic view, the key of its features in a store."""
        if not self.frozen or self.view is None or self.view.random:
            return Demand(self.view, None)
        parts = [type(self).__name__, self.variant, self.view.key, digest(self)[:12]]
        return Demand(self.view, "-".join(part for part in parts if part))

    def fixed_keys(self) -> list[str]:
        """Return the keys of the state that training does not change.

        These are all keys of a frozen branch; of a partly frozen one, all but adapters and other trained parts; else
        none.
        """
        if self.frozen:
            return list(self.state_dict())
        if all(source.trained for source in self.sources.values()):
            return []
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return [key for key in self.state_dict() if key not in trained]

    @property
    def lies_in_files(self) -> bool:
        """Return whether all weights that training does not change came from files; also true if there are none."""
        fixed = [source for source in self.sources.values() if not source.trained]
        return not any(source.random for source in fixed) and bool(fixed or not list(self.parameters()))

    def fixed_digest(self) -> str:
        """Return the digest of weights that training does not change; computed once: a base may be sharded later."""
        if self.frozen:
            return digest(self)
        if self._fixed_digest is None:
            holder, state = nn.Module(), self.state_dict()
            for key in self.fixed_keys():
                holder.register_buffer(key.replace(".", "/"), state[key])
            self._fixed_digest = digest(holder)
        return self._fixed_digest
