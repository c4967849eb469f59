"""ConvNeXt inflated over time: the backbone of COVER's and DOVER's aesthetic branch.

Parameter names and shapes are those of the published checkpoints. Liu et al., "A ConvNet for the 2020s", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvqa_models.nn.pointwise import by_frames

_KERNEL_TIMES = (1, 3, 1)  # kernel over time of the blocks of a stage, repeating


class ConvNeXt3D(nn.Module):
    """Turn a clip into a map of tokens, shape (B, `dims[-1]`, T/2, H/32, W/32) with four stages.

    Args:
        depths: Blocks per stage.
        dims: Channels per stage.
    """

    def __init__(self, *, depths: tuple[int, ...] = (3, 3, 9, 3), dims: tuple[int, ...] = (96, 192, 384, 768)) -> None:
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
            nn.Sequential(*(_Block(dim, _KERNEL_TIMES[index % len(_KERNEL_TIMES)]) for index in range(depth)))
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


class _Block(nn.Module):
    def __init__(self, dim: int, kernel_time: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv3d(dim, dim, (kernel_time, 7, 7), padding=(kernel_time // 2, 3, 3), groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        mixed = by_frames(self._mix, self.dwconv(x).permute(0, 2, 3, 4, 1))
        return x + mixed.permute(0, 4, 1, 2, 3)

    def _mix(self, x: Tensor) -> Tensor:
        y: Tensor = self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(x))))
        return y


def inflate(image_weights: Mapping[str, Tensor], network: ConvNeXt3D) -> dict[str, Tensor]:
    """Return the weights of an image ConvNeXt for `network`: kernels are repeated over time and divided by its length.

    A still clip then gives what the image gives, away from the temporal border (Carreira & Zisserman, CVPR 2017).
    """
    shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
    inflated = {}
    for key, tensor in image_weights.items():
        if tensor.ndim == 4 and key in shapes and len(shapes[key]) == 5:
            times = shapes[key][2]
            tensor = tensor.unsqueeze(2).repeat(1, 1, times, 1, 1) / times
        inflated[key] = tensor
    return inflated
