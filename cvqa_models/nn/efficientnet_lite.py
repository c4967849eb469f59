"""The first stages of EfficientNet-Lite0, of which the means and deviations of every stage are features.

EfficientNet (Tan & Le, ICML 2019) without gates and with ReLU6, as TensorFlow's authors publish it for small devices.
Parameters stand in the order of timm's `tf_efficientnet_lite0`, so the published weights load by position.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM = 32
# Expansion, output channels, kernel, stride of the first block, number of blocks; the last two stages are left out,
# because they name what a picture shows.
STAGES = ((1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 2, 3), (6, 112, 5, 1, 3))
_EPS = 1e-3  # of every norm
_OUTPUTS = 48  # of a product of matrices, at least


class _ConvNorm(nn.Sequential):
    """A convolution and its norm, which is part of the kernel: one pass over the pixels in place of two.

    The norm keeps the statistics that it was loaded with, in training too. A batch holds encodes of a few scenes, and
    statistics of a batch would mix them. Padding is TensorFlow's `same`: an odd pixel goes to the bottom and right.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs, eps=_EPS))
        self._kernel, self._stride, self._groups = kernel, stride, groups

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
        kernel: Tensor = conv.weight * gain.view(-1, 1, 1, 1)
        bias = norm.bias - norm.running_mean * gain
        if self._kernel == 1:
            return _pointwise(x, kernel.flatten(1), bias)
        (top, bottom), (left, right) = (self._around(length) for length in x.shape[-2:])
        padding = (top, left)
        if padding != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, kernel, bias, self._stride, padding, groups=self._groups)

    def _around(self, length: int) -> tuple[int, int]:
        total = max((-(-length // self._stride) - 1) * self._stride + self._kernel - length, 0)
        return total // 2, total - total // 2


def _pointwise(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return a convolution by one pixel, as a product of matrices: that is faster on a CPU, where channels lie last.

    With fewer outputs the order of summation would depend on the number of threads, so zeros fill them up.
    """
    outputs = len(kernel)
    missing = max(0, _OUTPUTS - outputs)
    y = F.linear(x.permute(0, 2, 3, 1), F.pad(kernel, (0, 0, 0, missing)), F.pad(bias, (0, missing)))
    return y[..., :outputs].permute(0, 3, 1, 2)


def _conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True
) -> nn.Module:
    both = _ConvNorm(inputs, outputs, kernel, stride, groups)
    return nn.Sequential(both, nn.ReLU6(inplace=True)) if act else both


class _Block(nn.Module):
    """An inverted residual block."""

    def __init__(self, inputs: int, expansion: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.block = nn.Sequential(
            *([_conv(inputs, width)] if expansion > 1 else []),
            _conv(width, width, kernel, stride, groups=width),
            _conv(width, outputs, act=False),
        )
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self._residual else y


class EfficientNetLiteStages(nn.Module):
    """Mean and deviation of every channel after the stem and after each stage, over all patches of a picture (ours)."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_conv(3, STEM, 3, 2)])
        width = STEM
        for expansion, outputs, kernel, stride, count in STAGES:
            blocks = []
            for place in range(count):
                blocks.append(_Block(width, expansion, outputs, kernel, stride if place == 0 else 1))
                width = outputs
            self.stages.append(nn.Sequential(*blocks))
        self.dim = 2 * (STEM + sum(stage[1] for stage in STAGES))

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector per picture, (M, `dim`).

        Args:
            x: RGB patches in [0, 255], any float or uint8, shape (M, K, 3, T, H, W): K patches of each picture; of
                several frames the first is seen.
        """
        count, parts = x.shape[0], []
        # On a CPU this layout takes two thirds of the time.
        y = (x[:, :, :, 0].flatten(0, 1).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            y = stage(y)
            whole = y.float().unflatten(0, (count, -1)).transpose(1, 2).flatten(2)
            mean = whole.mean(2)
            spread = (whole - mean.unsqueeze(2)).square().mean(2)
            parts += [mean, (spread + 1e-6).sqrt()]
        return torch.cat(parts, 1)
