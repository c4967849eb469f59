"""SlowFast: a wide network sees content in few frames, a narrow one sees motion in many; links go from fast to slow.

Feichtenhofer, Fan, Malik, He, "SlowFast Networks for Video Recognition", ICCV 2019. Parameter names are those of
PyTorchVideo's Kinetics-400 checkpoint.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pathway = Literal["slow", "fast", "both"]

ALPHA = 4  # the fast pathway sees this many times as many frames as the slow one
FUSION = 2  # channels of a lateral connection per channel of the fast pathway
SLOW, FAST = "0", "1"  # names of the pathways in parameter names
CLASSIFIER_KEYS = {"blocks.6.proj.weight", "blocks.6.proj.bias"}


class SlowFastNet(nn.Module):
    """Turn clips into the maps of the last residual stage, before any pooling.

    Only the layers that the wanted map needs are built. Connections go only from fast to slow. So the fast map needs
    1.5 % of the parameters, and is the same to the bit without the slow pathway; the slow map needs all fast stages
    except the last.

    Args:
        pathway: Map to compute.
        depth: Residual blocks of each of the four stages; the default is R50.
        width: Channels of the slow stem; the slow map has 32 times as many.
        ratio: How many times narrower the fast pathway is.
    """

    def __init__(
        self,
        pathway: Pathway = "both",
        *,
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        ratio: int = 8,
    ) -> None:
        super().__init__()
        narrow = width // ratio
        slow: dict[str, nn.Module] = {SLOW: _Stem(width, 1)}
        fast: dict[str, nn.Module] = {FAST: _Stem(narrow, 5)}
        stages = [_Joined(fast, 0) if pathway == "fast" else _Joined(slow | fast, narrow)]
        slow_in, fast_in = width + FUSION * narrow, narrow
        for stage, count in enumerate(depth, start=1):
            inner, stride = 2 ** (stage - 1), 1 if stage == 1 else 2
            outer, last = 4 * inner, stage == len(depth)
            parts: dict[str, nn.Module] = {}
            if pathway != "fast":
                parts[SLOW] = _Stage(count, slow_in, inner * width, stride, 3 if stage > 2 else 1)
            if pathway != "slow" or not last:
                parts[FAST] = _Stage(count, fast_in, inner * narrow, stride, 3)
            stages.append(_Joined(parts, 0 if pathway == "fast" or last else outer * narrow))
            slow_in, fast_in = outer * (width + FUSION * narrow), outer * narrow
        self.blocks = nn.ModuleList(stages)
        self.wanted = {"slow": [SLOW], "fast": [FAST], "both": [SLOW, FAST]}[pathway]

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Return the wanted maps, slow before fast.

        Args:
            frames: Normalised clips, shape (M, 3, T, H, W); T is a multiple of 4.

        Returns:
            Slow (M, 32 * width, T / 4, H / 32, W / 32), fast (M, 32 * width / ratio, T, H / 32, W / 32).
        """
        count = frames.shape[2]
        # Truncated as in the published sampler: 0, 4, 8, 13, 17, 22, 26, 31 of 32, not every fourth frame.
        index = torch.linspace(0, count - 1, count // ALPHA, device=frames.device).long()
        maps = {SLOW: frames[:, :, index], FAST: frames}
        for block in self.blocks:
            maps = block(maps)
        return [maps[name] for name in self.wanted]


class _Joined(nn.Module):
    """One stage of both pathways, and the lateral connection after it, from `lateral` fast channels (0 for none)."""

    def __init__(self, pathways: dict[str, nn.Module], lateral: int) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleDict(pathways)
        self.multipathway_fusion = _Lateral(lateral) if lateral else None

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        out = {name: block(maps[name]) for name, block in self.multipathway_blocks.items()}
        if self.multipathway_fusion is not None:
            out[SLOW] = torch.cat([out[SLOW], self.multipathway_fusion(out[FAST])], dim=1)
        return out


class _Stem(nn.Module):
    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, channels, (frames, 7, 7), (1, 2, 2), (frames // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.relu(self.norm(self.conv(x))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class _Lateral(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(channels, FUSION * channels, (7, 1, 1), (ALPHA, 1, 1), (3, 0, 0), bias=False)
        self.norm = nn.BatchNorm3d(FUSION * channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv_fast_to_slow(x)))


class _Stage(nn.Module):
    """`count` residual blocks, the first of which changes width and size; outputs have 4 * `inner` channels."""

    def __init__(self, count: int, inputs: int, inner: int, stride: int, frames: int) -> None:
        super().__init__()
        first = _Residual(inputs, inner, stride, frames)
        self.res_blocks = nn.Sequential(first, *(_Residual(4 * inner, inner, 1, frames) for _ in range(count - 1)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_blocks(x)
        return out


class _Residual(nn.Module):
    def __init__(self, inputs: int, inner: int, stride: int, frames: int) -> None:
        super().__init__()
        outputs = 4 * inner
        if inputs != outputs or stride != 1:
            self.branch1_conv: nn.Module = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            self.branch1_norm: nn.Module = nn.BatchNorm3d(outputs)
        else:
            self.branch1_conv = self.branch1_norm = nn.Identity()
        self.branch2 = _Bottleneck(inputs, inner, stride, frames)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch1_norm(self.branch1_conv(x)) + self.branch2(x))


class _Bottleneck(nn.Sequential):
    def __init__(self, inputs: int, inner: int, stride: int, frames: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inputs, inner, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.act_a = nn.ReLU()
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(inner)
        self.act_b = nn.ReLU()
        self.conv_c = nn.Conv3d(inner, 4 * inner, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(4 * inner)
