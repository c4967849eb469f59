"""TVQA (challenge rank 1): HVS-5M's spatial and motion features beside Q-Align's, fused over time."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.module import QualityModule, Recipe
from cvqa_models.nn.gru_pool import Hvs5mHead
from cvqa_models.nn.heads import FCHead


class TVQA(QualityModule):
    """Join the features of matching moments, then HVS-5M's quality model or a linear layer.

    The challenge paper names the features, the fusion, the fully connected layer and the losses, but no sizes: the
    fusion is ours, and the quality model is that of HVS-5M with a LayerNorm per branch, because the scales of the three
    differ by orders of magnitude. Frozen branches and their cached features make training a matter of the head.

    Args:
        spatial: Features of single frames; the authors' are `HvsSpatial`.
        motion: Features of the same frames within their chunk; the authors' are `HvsMotion`.
        semantic: Features of a few frames spread over the video; the authors' are `QAlign`.
        loss: Group-wise loss.
        recipe: How the model is optimised.
        temporal: Whether a GRU with subjective pooling reads the moments, as in HVS-5M; otherwise their means over time
            pass one linear layer, the literal reading of the paper's "FC layer".
    """

    reads_order: ClassVar[bool] = True

    def __init__(
        self,
        spatial: Branch,
        motion: Branch,
        semantic: Branch,
        loss: GroupLoss,
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
            self.head = FCHead(dims, hidden=None)

    def score(self, features: dict[str, Tensor]) -> Tensor:
        """Return one score per video, float32, shape (B,), from tokens (B, N, D) of each branch."""
        spatial, motion, semantic = (features[name].float() for name in ("spatial", "motion", "semantic"))
        # Scores of a group lie close together; half precision would merge them.
        with torch.autocast(spatial.device.type, enabled=False):
            if not self.temporal:
                return self.head([tokens.mean(dim=1) for tokens in (spatial, motion, semantic)])  # type: ignore[no-any-return]
            steps = spatial.shape[1]
            blocks = [spatial, matching_motion(motion, steps), nearest(semantic, steps)]
            normed = [norm(block) for norm, block in zip(self.norms, blocks, strict=True)]
            return self.head(torch.cat(normed, dim=2))  # type: ignore[no-any-return]


def matching_motion(motion: Tensor, steps: int, chunk: int = 32) -> Tensor:
    """Return the motion tokens of `steps` spatial tokens, shape (B, steps, D).

    Where the whole video is read, the last chunk overlaps the one before; its spatial tokens start behind the overlap,
    and so must its motion.

    Raises:
        ValueError: If more than a chunk is left over, or there is less motion than `steps`.
    """
    surplus = motion.shape[1] - steps
    if not 0 <= surplus < chunk:
        raise ValueError(
            f"`motion` has {motion.shape[1]} steps for {steps} of `spatial`; give both branches the same "
            "`num_chunks` and the same kind of `sampling`."
        )
    if surplus == 0:
        return motion
    return torch.cat([motion[:, :-chunk], motion[:, surplus - chunk :]], dim=1)


def nearest(tokens: Tensor, steps: int) -> Tensor:
    """Return the token nearest in time to each of `steps` moments, shape (B, steps, D); both span the whole video."""
    moment = (torch.arange(steps, device=tokens.device) + 0.5) / steps
    return tokens[:, (moment * tokens.shape[1]).long()]
