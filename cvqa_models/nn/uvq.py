"""The three networks of UVQ 1.5: content, distortion, and the aggregation of both to one score per frame.

Parameter names and shapes are those of the published checkpoints (google/uvq, `uvq1p5_pytorch`). The two feature
networks have the same layout: EfficientNet-B0's body (Tan & Le, ICML 2019) and a last convolution to 128 channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 128
"""Channels of a feature network's map."""
SIDE = 4
"""Rows and columns to which the aggregation pools both maps."""
GRID = 3
"""Rows and columns of patches that the distortion network sees."""

_EPS = 1e-3  # of every norm
# Expansion, output channels, kernel and stride of each block.
_BLOCKS = (
    (1, 16, 3, 1),
    *((6, 24, 3, stride) for stride in (2, 1)),
    *((6, 40, 5, stride) for stride in (2, 1)),
    *((6, 80, 3, stride) for stride in (2, 1, 1)),
    *((6, 112, 5, 1) for _ in range(3)),
    *((6, 192, 5, stride) for stride in (2, 1, 1, 1)),
    (6, 320, 3, 1),
)


class _SameConv(nn.Module):
    """A convolution with TensorFlow's `same` padding: an odd pixel of padding goes to the bottom and right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self._kernel = kernel
        self._stride = stride

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self._padding(x.shape[-2])
        left, right = self._padding(x.shape[-1])
        y: Tensor = self.conv(F.pad(x, (left, right, top, bottom)))
        return y

    def _padding(self, length: int) -> tuple[int, int]:
        steps = -(-length // self._stride)
        total = max((steps - 1) * self._stride + self._kernel - length, 0)
        return total // 2, total - total // 2


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, act: bool = True) -> nn.Module:
    layers = [_SameConv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs, eps=_EPS)]
    return nn.Sequential(*layers, *([nn.SiLU()] if act else []))


class _SqueezeExcitation(nn.Module):
    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * gate.sigmoid()


class _Block(nn.Module):
    """An inverted residual block; its squeeze has a quarter of the block's input channels."""

    def __init__(self, inputs: int, expansion: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        expand = [_conv(inputs, width, 1)] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,
            _conv(width, width, kernel, stride, groups=width),
            _SqueezeExcitation(width, inputs // 4),
            _conv(width, outputs, 1, act=False),
        )
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self._residual else y


class UvqTrunk(nn.Module):
    """Turn pictures into a map of 128 channels, 32 times smaller per side.

    The published widths are those of EfficientNet-B0.

    Args:
        shrink: Divides the channels of all layers but the last, for a tiny network.
    """

    def __init__(self, *, shrink: int = 1) -> None:
        super().__init__()
        width = 32 // shrink
        layers: list[nn.Module] = [_conv(3, width, 3, 2)]
        for expansion, outputs, kernel, stride in _BLOCKS:
            layers.append(_Block(width, expansion, outputs // shrink, kernel, stride))
            width = outputs // shrink
        self.features = nn.Sequential(*layers, _SameConv(width, CHANNELS, 2))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Ours: SiLU and the gates make the signal smaller, and untrained norms do not restore it over 50
                # layers.
                nn.init.normal_(module.weight, std=1.6 / math.sqrt(module.weight[0].numel()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map, (B, 128, h, w), of RGB pictures in [-1, 1], (B, 3, H, W); h is H / 32 rounded up."""
        y: Tensor = self.features(x)
        return y


class UvqAggregation(nn.Module):
    """Score frames from the pooled maps of content and distortion."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * CHANNELS, 2 * CHANNELS, 1)
        self.ln1 = nn.LayerNorm((2 * CHANNELS, SIDE, SIDE), eps=_EPS)
        self.linear1 = nn.Linear(2 * CHANNELS, 1)

    def forward(self, content: Tensor, distortion: Tensor) -> Tensor:
        """Return one score per frame, in (1, 5), shape (B,), from two maps (B, 128, 4, 4)."""
        mixed = self.ln1(self.conv1(torch.cat([content, distortion], dim=1)))
        hidden = F.relu(mixed).amax((2, 3))
        score: Tensor = 3 + 2 * self.linear1(hidden).squeeze(1).tanh()
        return score


def content_map(trunk: UvqTrunk, x: Tensor) -> Tensor:
    """Return the content map pooled to (B, 128, 4, 4), of pictures of any size in [-1, 1], (B, 3, H, W).

    The trunk sees the whole picture at 256 x 256, resized without a low-pass filter as its authors do it.
    """
    return F.adaptive_avg_pool2d(trunk(F.interpolate(x, (256, 256), mode="bilinear", align_corners=False)), SIDE)


def distortion_map(trunk: UvqTrunk, x: Tensor) -> Tensor:
    """Return the distortion map pooled to (B, 128, 4, 4), of pictures in [-1, 1], (B, 3, H, W), published 1080 x 1920.

    The trunk sees 3 x 3 patches, each a third of both sides. The map of a patch (published: 12 x 20) is max-pooled with
    stride 1 to 8 x 8 if it is larger; the nine maps are put side by side, in the order of the patches.

    Raises:
        ValueError: If a side cannot be divided by 3.
    """
    B, _, H, W = x.shape
    if H % GRID or W % GRID:
        raise ValueError(f"Pictures of {W}x{H} do not split into 3 x 3 patches; give sides that divide by 3.")
    patches = x.unflatten(3, (GRID, -1)).unflatten(2, (GRID, -1)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    # One patch at a time: the shape is always the same, so a frame gets the same bits in any batch. It also saves
    # memory.
    maps = torch.cat([trunk(patch) for patch in patches.split(1)])
    pooled = F.max_pool2d(maps, [max(side - 7, 1) for side in maps.shape[-2:]], stride=1)
    rows = pooled.unflatten(0, (B, GRID, GRID)).permute(0, 3, 1, 4, 2, 5)
    return F.adaptive_avg_pool2d(rows.flatten(4).flatten(2, 3), SIDE)
