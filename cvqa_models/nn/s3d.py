"""The separable 3-D Inception network that measures compression in UVQ.

Wang, Ke, Talebi et al., "Rich features for perceptual quality assessment of UGC videos", CVPR 2021; the trunk is S3D-G
(Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018). Parameter names are UVQ's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Triple = tuple[int, int, int]

# Channels of the four parts of a mixed block: b0; b1 inner, outer; b2 inner, outer; b3.
STAGES = (
    {"inception_mixed1_3b": (64, 96, 128, 16, 32, 32), "inception_mixed2_3c": (128, 128, 192, 32, 96, 64)},
    {
        "inception_mixed3_4b": (192, 96, 208, 16, 48, 64),
        "inception_mixed4_4c": (160, 112, 224, 24, 64, 64),
        "inception_mixed5_4d": (128, 128, 256, 24, 64, 64),
        "inception_mixed6_4e": (112, 144, 288, 32, 64, 64),
        "inception_mixed7_4f": (256, 160, 320, 32, 128, 128),
    },
    {"inception_mixed8_5b": (256, 160, 320, 32, 128, 128), "inception_mixed9_5c": (384, 192, 384, 48, 128, 128)},
)
# Kernel and stride of the pool before each of the stages.
POOLS: tuple[tuple[Triple, Triple], ...] = (((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)))


class S3D(nn.Module):
    """Turn a patch of five frames into a map of compression features.

    Args:
        width: Multiplier of every width inside, 1 for the published network.
        features: Channels of the map.
    """

    def __init__(self, *, width: float = 1.0, features: int = 100) -> None:
        super().__init__()
        self.inception_block1 = _Trunk(width)
        self.final_conv3d = nn.Conv3d(self.inception_block1.channels, features, (1, 3, 7), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, shape (M, features, h, w), from patches in [-1, 1], shape (M, 3, 5, H, W).

        h = ceil(H / 32) - 2 and w = ceil(W / 32) - 6: a patch of 180 x 320 gives 4 x 4.
        """
        features: Tensor = self.final_conv3d(self.inception_block1(x))
        return features.squeeze(2)


def same_padding(size: Sequence[int], kernel: Triple, stride: Triple) -> list[int]:
    """Return TensorFlow's SAME padding in the order of `F.pad`: last axis first; an odd pixel is added at the end."""
    pads: list[int] = []
    for length, window, step in zip(reversed(size), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-length // step) - 1) * step + window - length, 0)
        pads += [total // 2, total - total // 2]
    return pads


def same_max_pool(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Return the SAME max-pool of `x`, which must not be negative, because it is padded with zeros."""
    return F.max_pool3d(F.pad(x, same_padding(x.shape[2:], kernel, stride)), kernel, stride)


class _Conv(nn.Module):
    """A convolution with SAME padding, without bias unless asked."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Triple, stride: Triple = (1, 1, 1), bias: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, bias=bias)
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, same_padding(x.shape[2:], self.kernel, self.stride)))
        return out


def _gated(x: Tensor, gate: _Conv) -> Tensor:
    openness: Tensor = gate(x.mean((2, 3, 4), keepdim=True)).sigmoid()
    return x * openness


class _Pointwise(nn.Module):
    """Part b0 of a mixed block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3d_1 = _Conv(inputs, outputs, (1, 1, 1))
        self.batch_norm = nn.BatchNorm3d(outputs)
        self.conv3d_2 = _Conv(outputs, outputs, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _gated(F.relu(self.batch_norm(self.conv3d_1(x))), self.conv3d_2)


class _Separable(nn.Module):
    """Parts b1 and b2 of a mixed block: narrow, then convolve in space, then in time."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.conv3d_1 = _Conv(inputs, inner, (1, 1, 1))
        self.batch_norm1 = nn.BatchNorm3d(inner)
        self.conv3d_2 = _Conv(inner, outputs, (1, 3, 3))
        self.batch_norm2 = nn.BatchNorm3d(outputs)
        self.conv3d_3 = _Conv(outputs, outputs, (3, 1, 1), bias=True)
        self.conv3d_4 = _Conv(outputs, outputs, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.batch_norm1(self.conv3d_1(x)))
        x = F.relu(self.batch_norm2(self.conv3d_2(x)))
        return _gated(F.relu(self.conv3d_3(x)), self.conv3d_4)


class _Mixed(nn.Module):
    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, inner1, b1, inner2, b2, b3 = widths
        self.b0 = _Pointwise(inputs, b0)
        self.b1 = _Separable(inputs, inner1, b1)
        self.b2 = _Separable(inputs, inner2, b2)
        self.b3 = _Pointwise(inputs, b3)
        self.channels = b0 + b1 + b2 + b3

    def forward(self, x: Tensor) -> Tensor:
        pooled = same_max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1(x), self.b2(x), self.b3(pooled)], dim=1)


class _Trunk(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        stem, wide = max(1, round(64 * width)), max(1, round(192 * width))
        self.conv3d_1a = _Conv(3, stem, (3, 7, 7), (2, 2, 2))
        self.batch_norm_1a = nn.BatchNorm3d(stem)
        self.pre_2b2c = _Separable(stem, stem, wide)
        self.channels = wide
        for stage in STAGES:
            for name, published in stage.items():
                block = _Mixed(self.channels, [max(1, round(channels * width)) for channels in published])
                self.add_module(name, block)
                self.channels = block.channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.batch_norm_1a(self.conv3d_1a(x)))
        x = self.pre_2b2c(same_max_pool(x, (1, 3, 3), (1, 2, 2)))
        for stage, (kernel, stride) in zip(STAGES, POOLS, strict=True):
            x = same_max_pool(x, kernel, stride)
            for name in stage:
                x = self.get_submodule(name)(x)
        return x
