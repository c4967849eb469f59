"""SAMNet, a saliency network of 1.33 M parameters that weights receptive fields by stereoscopic attention.

Liu, Zhang, Bian et al., "SAMNet: Stereoscopically Attentive Multi-scale Network for Lightweight Salient Object
Detection", 2021. Key names and shapes are those of the published checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=True)


class ConvNormAct(nn.Module):
    """Convolution without bias that keeps the size at stride 1, BatchNorm, and ReLU unless `relu` is False."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, kernel, stride, padding, dilation, groups, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.conv(x))


class SeparableConv(nn.Module):
    """Depthwise convolution of `kernel`, then a pointwise one; both with BatchNorm and ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        depthwise = ConvNormAct(in_channels, in_channels, kernel, stride=stride, dilation=dilation, groups=in_channels)
        self.conv = nn.Sequential(depthwise, ConvNormAct(in_channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.conv(x))


class StereoscopicAttention(nn.Module):
    """Weight several dilations of one map, per channel and per position (section 3.1).

    Args:
        channels: Channels of the map, in and out.
        dilations: One branch each; the undilated map is the last branch.
    """

    def __init__(self, channels: int, dilations: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__()
        gate = channels // 4
        self.conv = SeparableConv(channels, channels)
        self.branches = nn.ModuleList(SeparableConv(channels, channels, dilation=d) for d in dilations)
        self.fc1 = ConvNormAct(channels, channels)
        self.fc2 = nn.Conv2d(channels, (len(dilations) + 1) * channels, 1, bias=False)
        self.convs = nn.Sequential(
            ConvNormAct(channels, gate),
            SeparableConv(gate, gate, dilation=2),
            SeparableConv(gate, gate, dilation=4),
            nn.Conv2d(gate, 1, 1, bias=False),
        )
        self.fuse = ConvNormAct(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        base = self.conv(x)
        maps = torch.stack([*(branch(base) for branch in self.branches), base], dim=1)
        total = maps.sum(dim=1)
        channel_gate = self.fc2(self.fc1(total.mean(dim=(2, 3), keepdim=True)))
        channel_gate = channel_gate.unflatten(1, (maps.shape[1], maps.shape[2]))
        position_gate = self.convs(total).unsqueeze(1)
        weight = (channel_gate * position_gate).softmax(dim=1)
        return cast("Tensor", self.fuse((maps * weight).sum(dim=1)) + x)


class Backbone(nn.Module):
    """Five stages at strides 2, 4, 8, 16 and 32; returns the map of each."""

    def __init__(self) -> None:
        super().__init__()
        attention = StereoscopicAttention
        self.layer1 = nn.Sequential(ConvNormAct(3, 16, 3, stride=2), attention(16))
        self.layer2 = nn.Sequential(SeparableConv(16, 32, stride=2), attention(32))
        self.layer3 = nn.Sequential(SeparableConv(32, 64, stride=2), *(attention(64) for _ in range(3)))
        self.layer4 = nn.Sequential(SeparableConv(64, 96, stride=2), *(attention(96) for _ in range(6)))
        self.layer5 = nn.Sequential(SeparableConv(96, 128, stride=2), *(attention(128, (1, 2)) for _ in range(3)))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            x = stage(x)
            maps.append(x)
        return maps


class PyramidPooling(nn.Module):
    """Context of the whole frame: averages over 1, 2, 3 and 6 cells, together with the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (ConvNormAct(channels, channels // 4) for _ in range(4))
        self.out = ConvNormAct(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [
            _resize(conv(F.adaptive_avg_pool2d(x, cells)), x.shape[2:])
            for cells, conv in zip((1, 2, 3, 6), (self.conv1, self.conv2, self.conv3, self.conv4), strict=True)
        ]
        return cast("Tensor", self.out(torch.cat([x, *pooled], dim=1)))


class SaliencyHead(nn.Module):
    """One channel of logits from a decoder map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.conv(x))


class SamNet(nn.Module):
    """Saliency of a frame at five depths of the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.context_path = Backbone()
        self.pyramid_pooling = PyramidPooling(128)
        self.prepare = nn.ModuleList(ConvNormAct(c, c, relu=False) for c in (128, 96, 64, 32, 16))
        self.fuse = nn.ModuleList(
            [
                SeparableConv(128, 96),
                SeparableConv(96, 64, dilation=2),
                SeparableConv(64, 32, 5, dilation=2),
                SeparableConv(32, 16, 5, dilation=2),
                SeparableConv(16, 16, 5, dilation=2),
            ]
        )
        self.heads = nn.ModuleList(SaliencyHead(c) for c in (96, 64, 32, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        """Return saliency in (0, 1), shape (B, 5, H, W): the main map, then the side maps from coarse to fine.

        Args:
            x: Frames with ImageNet normalisation, shape (B, 3, H, W).
        """
        stages = self.context_path(x)[::-1]
        context = self.pyramid_pooling(stages[0])
        logits = []
        for stage, prepare, fuse, head in zip(stages, self.prepare, self.fuse, self.heads, strict=True):
            context = fuse(prepare(stage) + _resize(context, stage.shape[2:]))
            logits.append(head(context))
        main_first = [logits[-1], *logits[:-1]]
        return torch.cat([_resize(logit.sigmoid(), x.shape[2:]) for logit in main_first], dim=1)
