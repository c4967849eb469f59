"""How similar a frame and its source are in the stages of a Swin transformer (CompressedVQA-HDR)."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_turns
from cvqa_models.branches.torchvision_swin import swin_transformer
from cvqa_models.branches.views import chosen_view
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

EPSILON = 1e-6  # of both similarities
_STAGE = re.compile(r"feature_extraction_stage[1-4]\.")


def default_view(num_clips: int = 8, *, size: int = 384) -> View:
    """Return the view of key frames and their source's: the centre of frames whose short side is scaled to `size`."""
    return View(KeyFrames(num_clips), Crop(size, short=size), with_reference=True)


class SwinSimilarity(Branch):
    """Tokens of single frames: similarity of means and of structure with the source, per channel of five levels.

    Sun et al., "CompressedVQA-HDR", 2025. The levels are the picture and the four stages of torchvision's Swin, before
    its last norm: 2 x (3 + 128 + 256 + 512 + 1024) = 3846 numbers for Swin-B, level by level, means first. For equal
    frames they are 1 only within 1e-4, because the covariance is a difference of means in float32, as in the authors'
    code.

    Args:
        weights: File or name of a CompressedVQA-HDR checkpoint with reference; null for an untrained network.
        view: Single frames, with those of the source; null for `default_view`.
        num_clips: Key frames per video if no `view` is given; null for 8.
        width: Channels of the first stage.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        drop_path: Probability of skipping the last block in training; it is lower for earlier blocks.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        width: int = 128,
        depths: tuple[int, ...] = (2, 2, 18, 2),
        heads: tuple[int, ...] = (4, 8, 16, 32),
        drop_path: float = 0.5,
        frozen: bool = False,
    ) -> None:
        channels = [3, *(width << stage for stage in range(len(depths)))]
        super().__init__(chosen_view(view, num_clips, default_view), 2 * sum(channels), frozen=frozen)
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.net = swin_transformer(width, depths, heads, drop_path)
        self.net.norm = nn.Identity()
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights, rename=stage_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the similarities of each frame, shape (B, N, D), from `x` of shape (B, N, 6, 1, H, W)."""
        return in_turns(self._compare, x, None if self.training else x.shape[1])

    def _compare(self, pairs: Tensor) -> Tensor:
        distorted, source = (self.normalise(part).squeeze(2) for part in pairs.chunk(2, dim=1))
        return self.similarities(source, distorted)

    def similarities(self, source: Tensor, distorted: Tensor) -> Tensor:
        """Return the similarities of normalised pictures, (M, 3, H, W) each, as (M, D)."""
        levels = zip(self.levels(source), self.levels(distorted), strict=True)
        return torch.cat([similarity for x, y in levels for similarity in _similarities(x, y)], dim=1)

    def levels(self, pictures: Tensor) -> list[Tensor]:
        """Return the picture on the scale [0, 1] and each stage's map, (M, C, h, w) each, of normalised pictures."""
        found = [pictures * self.normalise.std[..., 0] + self.normalise.mean[..., 0]]
        x = pictures
        for index, part in enumerate(self.net.features):
            x = part(x)
            if index % 2:  # odd layers are the blocks of a stage, even ones its patches
                found.append(x.permute(0, 3, 1, 2))
        return found


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the similarity of means and that of structure, (M, C) each, of maps (M, C, h, w)."""
    over = (2, 3)
    x_mean, y_mean = x.mean(over, keepdim=True), y.mean(over, keepdim=True)
    means = (2 * x_mean * y_mean + EPSILON) / (x_mean**2 + y_mean**2 + EPSILON)
    x_variance, y_variance = ((x - x_mean) ** 2).mean(over, keepdim=True), ((y - y_mean) ** 2).mean(over, keepdim=True)
    covariance = (x * y).mean(over, keepdim=True) - x_mean * y_mean
    structure = (2 * covariance + EPSILON) / (x_variance + y_variance + EPSILON)
    return means[..., 0, 0], structure[..., 0, 0]


def stage_key(key: str) -> str | None:
    """Return our name of a key of the published checkpoint; None for the head, and for layers that no score uses."""
    if key in ("mean", "std", "norm.weight", "norm.bias") or key.startswith("quality."):
        return None
    return _STAGE.sub("features.", key)
