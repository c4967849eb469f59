"""A compact convolutional network that reads compression damage from pairs of native-resolution patches (ours)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Luma weights of ITU-R BT.601. The patches are gamma-coded RGB; any fixed luma is good enough for the network.
_LUMA = (0.299, 0.587, 0.114)


def _block(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    # GroupNorm, not BatchNorm: a batch holds encodes of one source, and batch statistics would mix them.
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(max(1, width_out // 16), width_out),
        nn.GELU(),
    )


class CompressionLevelNet(nn.Module):
    """Features of compression damage from the luma of two consecutive frames.

    There are three input channels: the luma of the first frame, its difference from the local mean, and the change to
    the second frame, which shows flicker, skipped blocks and key-frame popping. The last two are compressed
    logarithmically, because faint ringing and lost grain are a hundred times weaker than edges and motion. Pixels are
    not scaled before the first convolution, because block edges are only a pixel wide.

    Positions are pooled over all patches of a frame together, with learned weights, because black bars and clear sky
    show no damage. VMAF is similar: its parts are sums over the picture.

    Args:
        width: Channels of the first stage; later stages have 1.5, 2 and 3 times as many.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width, width * 3 // 2, width * 2, width * 3]
        self.dim = 2 * widths[-1]
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor(_LUMA).view(3, 1, 1, 1), persistent=False)
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, stride=2, padding=1), nn.GELU())
        self.stages = nn.Sequential(
            _block(widths[0], widths[1], 2),
            _block(widths[1], widths[1], 1),
            _block(widths[1], widths[2], 2),
            _block(widths[2], widths[2], 1),
            _block(widths[2], widths[3], 1),
        )
        self.weight = nn.Conv2d(widths[3], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector per frame pair, shape (M, `dim`): weighted mean and deviation over all its patches.

        Args:
            x: RGB patches in [0, 255], any float or uint8, shape (M, K, 3, 2, H, W): K patches of each pair.
        """
        count = x.shape[0]  # in an export, `len` would fix the number of pairs
        luma = (x.flatten(0, 1).float() * self.luma).sum(1)
        first = luma[:, :1]
        fine = first - F.avg_pool2d(first, 5, 1, 2, count_include_pad=False)
        change = luma[:, 1:] - first
        maps = self.stages(self.stem(torch.cat([first / 64 - 2, _faint(fine), _faint(change)], dim=1)))
        # Not a convolution: with one output channel, its order of summation depends on the number of threads.
        weight = (maps * self.weight.weight).sum(1) + self.weight.bias
        weight = weight.float().view(count, 1, -1).softmax(2)
        maps = maps.float().unflatten(0, (count, -1)).transpose(1, 2).flatten(2)
        mean = (weight * maps).sum(2)
        spread = (weight * (maps - mean.unsqueeze(2)).square()).sum(2)
        return torch.cat([mean, (spread + 1e-6).sqrt()], dim=1)


def _faint(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()
