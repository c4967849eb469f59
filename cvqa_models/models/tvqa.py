"""TVQA (challenge rank 1): HVS-5M's spatial and motion features and Q-Align's features, fused over time."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import Loss
from cvqa_models.nn.gru_pool import Hvs5mHead
from cvqa_models.nn.heads import FcHead
from cvqa_models.training.module import QualityModule, Recipe


class Tvqa(QualityModule):
    """Join the features of matching moments, then apply HVS-5M's quality model or a linear layer.

    The challenge paper names the features, the fusion, the fully connected layer and the losses, but gives no sizes. So
    the fusion is ours, and the quality model is that of HVS-5M, with a LayerNorm per branch, because the scales of the
    three branches differ by orders of magnitude. As branches are frozen and their features cached, only the head is
    trained.

    Args:
        spatial: Features of single frames; the authors use `HvsSpatial`.
        motion: Features of the same frames within their chunk; the authors use `HvsMotion`.
        semantic: Features of a few frames spread over the video; the authors use `QAlign`.
        loss: The loss; null is the usual `GroupLoss`.
        recipe: How the model is optimised.
        temporal: Whether a GRU with subjective pooling reads the moments, as in HVS-5M; otherwise one linear layer
            takes their means over time, which is what the paper's "FC layer" literally says.
    """

    reads_order: ClassVar[bool] = True

    def __init__(
        self,
        spatial: Branch,
        motion: Branch,
        semantic: Branch,
        loss: Loss | None = None,
        *,
        recipe: Recipe = Recipe(lr_head=5e-4, weight_decay=0.0),  # noqa: B008 - frozen
        temporal: bool = True,
    ) -> None:
        branches = {"spatial": spatial, "motion": motion, "semantic": semantic}
        super().__init__(branches, loss, recipe)
        dims = [branch.dim for branch in branches.values()]
        self.temporal = temporal
        if temporal:
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims)
            self.head: nn.Module = Hvs5mHead(sum(dims))
        else:
            self.head = FcHead(dims, hidden=None)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, D) of each branch."""
        spatial, motion, semantic = (features[name] for name in ("spatial", "motion", "semantic"))
        if not self.temporal:
            return self.head([tokens.mean(dim=1) for tokens in (spatial, motion, semantic)])  # type: ignore[no-any-return]
        steps = spatial.shape[1]
        blocks = [spatial, matching_motion(motion, steps), nearest(semantic, steps)]
        normed = [norm(block) for norm, block in zip(self.norms, blocks, strict=True)]
        return self.head(torch.cat(normed, dim=2))  # type: ignore[no-any-return]


def matching_motion(motion: Tensor, steps: int, chunk: int = 32) -> Tensor:
    """Return the motion tokens of `steps` spatial tokens, shape (B, steps, D).

    If the whole video is read, the last chunk overlaps the chunk before it. Its spatial tokens start after the overlap,
    and so must its motion tokens.

    Raises:
        ValueError: If there are fewer motion tokens than `steps`, or more than a chunk too many.
    """
    surplus = motion.shape[1] - steps
    if not 0 <= surplus < chunk:
        raise ValueError(
            f"`motion` has {motion.shape[1]} steps for {steps} of `spatial`; give both branches the same "
            "chunks of the video in their views."
        )
    if surplus == 0:
        return motion
    return torch.cat([motion[:, :-chunk], motion[:, surplus - chunk :]], dim=1)


def nearest(tokens: Tensor, steps: int) -> Tensor:
    """Return the token nearest in time to each of `steps` moments, shape (B, steps, D); both span the whole video."""
    moment = (torch.arange(steps, device=tokens.device) + 0.5) / steps
    return tokens[:, (moment * tokens.shape[1]).long()]
