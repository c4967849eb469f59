"""A batch of cached features with a planted signal, and models on it."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

DIM = 5


class Cached(Branch):
    """Features that only a store could serve."""

    def __init__(self) -> None:
        super().__init__(View(KeyFrames(1), Resize(8, 8)), DIM, frozen=True)

    def tokens(self, x: Tensor) -> Tensor:
        raise AssertionError


def planted(groups: int = 12, size: int = 8, noise: float = 0.3, seed: int = 0) -> Batch:
    """Groups of videos whose label rises with the first feature, with a level and scale of each group's own."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(groups, size, DIM, generator=generator)
    error = noise * torch.randn(groups, size, generator=generator)
    scale = 0.5 + torch.rand(groups, 1, generator=generator)
    mos = 3 * torch.rand(groups, 1, generator=generator) + scale * (x[..., 0] + error)
    group = torch.arange(groups).repeat_interleave(size)
    return Batch(
        video_id=[f"v{i}" for i in range(groups * size)],
        group_name=[f"g{int(g):02}" for g in group],
        group=group,
        mos=mos.flatten(),
        weight=torch.ones(groups * size),
        features={"table": (x * torch.tensor([20.0, 1, 1, 0.1, 5])).reshape(groups * size, 1, DIM)},
    )


def model(hidden: int | None = None, seed: int = 0, dropout: float = 0.0, **recipe: object) -> MultiBranch:
    torch.manual_seed(seed)
    chosen = Recipe(**{"lr_head": 0.02, "warmup": 0.1, **recipe})  # type: ignore[arg-type]
    loss = GroupLoss({"plcc": 1.0, "srocc": 1.0, "anchor": 0.05})
    return MultiBranch({"table": Cached()}, loss, recipe=chosen, hidden=hidden, dropout=dropout, norm="standard")
