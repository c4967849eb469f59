"""What all branches do with the uint8 tensor of a view, before their network sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# As in `timm.data.constants`: its import would cost a second and 85 MB for six numbers.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Scale uint8 pixels to [0, 1], subtract `mean` and divide by `std`.

    The constants are buffers, so they move with the network to its device and are part of its digest. They are not in
    its state dict, because published files do not hold them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised `x`, shape (..., 3, T, H, W)."""
        return (x.to(self.mean.dtype) / 255 - self.mean) / self.std


def in_turns(net: Callable[[Tensor], Tensor], x: Tensor, size: int | None) -> Tensor:
    """Return the tokens that `net` gives for every clip, shape (B, N, D), from `x` of shape (B, N, C, T, H, W).

    Args:
        net: Function from clips of shape (M, C, T, H, W) to tokens of shape (M, D).
        x: View of a batch.
        size: Clips at a time, a divisor of N. As it is always the same, the bits of a video do not depend on the batch.
            None takes all clips at once, for training: that is faster, and normalisation by the statistics of the
            batch, if a branch has it, sees the whole batch.
    """
    clips = x.flatten(0, 1)
    if torch.compiler.is_exporting():  # an exported file takes any number of clips; the export checks its scores
        size = None
    tokens = net(clips) if size is None else torch.cat(_in_turns(net, clips.split(size)))
    return tokens.view(*x.shape[:2], -1)


def _in_turns(net: Callable[[Tensor], Tensor], chunks: Sequence[Tensor]) -> list[Tensor]:
    """Return the tokens of each chunk. One that equals the chunk before it, as in a still, is not computed again."""
    found: list[Tensor] = []
    for before, chunk in zip((None, *chunks), chunks, strict=False):
        # On a GPU the comparison would wait for all work before it.
        known = before is not None and chunk.device.type == "cpu" and torch.equal(before, chunk)
        found.append(found[-1] if known else net(chunk))
    return found
