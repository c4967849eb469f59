"""Both networks that read compression damage from native patches, side by side (ours)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cvqa_models.nn.compression_level import CompressionLevelNet
from cvqa_models.nn.efficientnet_lite import EfficientNetLiteStages


class CompressionDamageNet(nn.Module):
    """Features of pairs of frames, by a network of our own, and of their first frames, by one that knows pictures.

    The first sees flicker and faint ringing, and was trained on encodes alone. The second sees what a picture shows,
    and so what it lost, such as detail and the edges of text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pair = CompressionLevelNet()
        self.still = EfficientNetLiteStages()
        self.dim = self.pair.dim + self.still.dim

    def forward(self, x: Tensor) -> Tensor:
        """Return one vector per pair of frames, (M, `dim`), from RGB patches in [0, 255], (M, K, 3, 2, H, W)."""
        return torch.cat([self.pair(x), self.still(x)], 1)
