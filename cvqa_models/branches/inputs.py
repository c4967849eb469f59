"""What the branches do alike with the uint8 tensor of a view before their network sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cvqa_models.video.frames import KeyFrames, Sampling
from cvqa_models.video.pixels import Crop, Kernel, Resize
from cvqa_models.video.view import View

# As in `timm.data.constants`, whose import would cost COVER a second and 85 MB for six numbers.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Geometry = Literal["crop", "random_crop", "resize"]


class Normalise(nn.Module):
    """Turn uint8 pixels into floats, less `mean` and divided by `std` of the scale [0, 1].

    The constants are buffers, so that they follow the network to its device and into its digest, but stay out of its
    state dict: published files do not hold them.
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


def in_chunks(net: Callable[[Tensor], Tensor], x: Tensor, size: int | None) -> Tensor:
    """Return what `net` says of every clip, shape (B, N, D), from `x` of shape (B, N, C, T, H, W).

    Args:
        net: Clips of shape (M, C, T, H, W) to tokens of shape (M, D).
        x: View of a batch.
        size: Clips at a time, a divisor of N: always the same number, so that a video gets the same bits whatever else
            is in the batch. None takes all at once, for training: that is faster, and batch statistics, where a
            branch takes them, see the whole batch.
    """
    clips = x.flatten(0, 1)
    tokens = net(clips) if size is None else torch.cat([net(chunk) for chunk in clips.split(size)])
    return tokens.view(*x.shape[:2], -1)


def key_frame_view(count: int, size: int, geometry: Geometry, sampling: Sampling, kernel: Kernel = "bilinear") -> View:
    """Return the view of `count` key frames as squares of `size` pixels.

    Args:
        count: Key frames per video.
        size: Side in pixels.
        geometry: `crop` scales the short side to `size` and cuts the centre, `random_crop` cuts anywhere in training,
            `resize` squeezes the whole frame into the square.
        sampling: Which key frames of a long video, see `KeyFrames`.
        kernel: How frames are scaled.
    """
    if geometry == "resize":
        return View(KeyFrames(count, sampling), Resize(size, size, kernel))
    random = geometry == "random_crop"
    return View(KeyFrames(count, sampling), Crop(size, short=size, random=random, kernel=kernel))
