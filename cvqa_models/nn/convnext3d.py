"""ConvNeXt inflated over time: the backbone of COVER's and DOVER's aesthetic branch, and of both of DOVER-Mobile's.

Parameter names and shapes are those of the published checkpoints. Liu et al., "A ConvNet for the 2020s", CVPR 2022;
with a response norm: Woo et al., "ConvNeXt V2", CVPR 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvqa_models.nn.pointwise import by_frames

_KERNEL_TIMES = (1, 3, 1)  # length of the kernel over time, in the blocks of a stage in turn


class ConvNeXt3D(nn.Module):
    """Turn a clip into a map of tokens, shape (B, `dims[-1]`, T/2, H/32, W/32) with four stages.

    Args:
        depths: Blocks per stage.
        dims: Channels per stage.
        response_norm: Whether blocks have an `OfficialResponseNorm` instead of a scale per channel, as in
            DOVER-Mobile.
    """

    def __init__(
        self,
        *,
        depths: tuple[int, ...] = (3, 3, 9, 3),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        response_norm: bool = False,
    ) -> None:
        super().__init__()
        if len(depths) != len(dims):
            raise ValueError(f"`depths` has {len(depths)} entries and `dims` {len(dims)}; expected as many.")
        self.dim = dims[-1]
        stem = nn.Sequential(nn.Conv3d(3, dims[0], (2, 4, 4), stride=(2, 4, 4)), _ChannelNorm(dims[0]))
        between = (
            nn.Sequential(_ChannelNorm(narrow), nn.Conv3d(narrow, wide, (1, 2, 2), stride=(1, 2, 2)))
            for narrow, wide in pairwise(dims)
        )
        self.downsample_layers = nn.ModuleList([stem, *between])
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(_Block(dim, _KERNEL_TIMES[index % len(_KERNEL_TIMES)], response_norm) for index in range(depth))
            )
            for depth, dim in zip(depths, dims, strict=True)
        )
        self.norm = _ChannelNorm(dims[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised token map, (B, C, T', H', W'), from normalised pixels (B, 3, T, H, W)."""
        for downsample, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(downsample(x))
        y: Tensor = self.norm(x)
        return y


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position of a map (B, C, T, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class OfficialResponseNorm(nn.Module):
    """ConvNeXt V2's global response norm over time and rows, one value for each column, as in DOVER-Mobile.

    The authors used the layer for pictures unchanged for clips, so it works over the first two axes after the batch,
    not over rows and columns. The published weights were trained that way, so there is no corrected version here.

    Args:
        dim: Channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised maps, channels last, (B, T, H, W, C)."""
        strength = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        relative = strength / (strength.mean(-1, keepdim=True) + 1e-6)
        y: Tensor = self.gamma * (x * relative) + self.beta + x
        return y


class _Block(nn.Module):
    def __init__(self, dim: int, kernel_time: int, response_norm: bool) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(dim, dim, (kernel_time, 7, 7), padding=(kernel_time // 2, 3, 3), groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.grn = OfficialResponseNorm(4 * dim) if response_norm else None
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = None if response_norm else nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.dwconv(x).permute(0, 2, 3, 4, 1)
        # A response norm needs all frames at once.
        mixed = by_frames(self._mix, y) if self.grn is None else self._mix(y)
        return x + mixed.permute(0, 4, 1, 2, 3)

    def _mix(self, x: Tensor) -> Tensor:
        wide = F.gelu(self.pwconv1(self.norm(x)))
        y: Tensor = self.pwconv2(wide if self.grn is None else self.grn(wide))
        return y if self.gamma is None else self.gamma * y


def inflate(image_weights: Mapping[str, Tensor], network: ConvNeXt3D) -> dict[str, Tensor]:
    """Return the weights of an image ConvNeXt for `network`: kernels are repeated over time and divided by that length.

    A still clip then gives the same as the image, except at the ends of the clip (Carreira & Zisserman, CVPR 2017).
    """
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    inflated = {}
    for key, tensor in image_weights.items():
        if tensor.ndim == 4 and key in shapes and len(shapes[key]) == 5:
            times = shapes[key][2]
            tensor = tensor.unsqueeze(2).repeat(1, 1, times, 1, 1) / times
        inflated[key] = tensor
    return inflated
