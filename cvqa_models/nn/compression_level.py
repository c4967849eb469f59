"""A compact convolutional network that reads compression damage from pairs of native-resolution patches (ours)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# ITU-R BT.601 luma weights; the patches are gamma-coded RGB, and the network only needs some fixed luma.
_LUMA = (0.299, 0.587, 0.114)


def _block(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    # GroupNorm, not BatchNorm: a batch holds encodes of one source, so batch statistics would leak between them.
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(max(1, width_out // 16), width_out),
        nn.GELU(),
    )


class CompressionLevelNet(nn.Module):
    """Features of compression damage from the luma of two consecutive frames.

    Two input channels: the luma of the first frame, and the change to the second, which shows flicker, skipped blocks
    and key-frame popping. Nothing is scaled before the first convolution, because block edges, ringing and lost grain
    live at the scale of single pixels.

    Args:
        width: Channels of the first stage; later stages have 1.5, 2 and 3 times as many.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [width, width * 3 // 2, width * 2, width * 3]
        self.dim = 2 * widths[-1]
        self.luma: Tensor
        self.register_buffer("luma", torch.tensor(_LUMA).view(1, 3, 1, 1, 1), persistent=False)
        self.stages = nn.Sequential(
            _block(2, widths[0], 2),
            _block(widths[0], widths[1], 1),
            _block(widths[1], widths[1], 2),
            _block(widths[1], widths[2], 1),
            _block(widths[2], widths[2], 2),
            _block(widths[2], widths[3], 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector per patch, shape (B, `dim`): mean and deviation over space.

        Args:
            x: RGB patches in [0, 255], any float or uint8, shape (B, 3, 2, H, W).
        """
        luma = (x.float() * self.luma).sum(1) / 64 - 2
        pair = torch.stack([luma[:, 0], 2 * (luma[:, 1] - luma[:, 0])], dim=1)
        maps = self.stages(pair).flatten(2)
        return torch.cat([maps.mean(2), maps.std(2, correction=0)], dim=1)
