"""The head that scores every position of a token map (FAST-VQA, DOVER, COVER).

Parameter names are those of the published checkpoints.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MapHead(nn.Module):
    """Score every position of a token map; the score of a video is the mean of its map.

    Args:
        dim: Channels of the map.
        hidden: Width of the hidden layer.
        dropout: Probability of dropping a channel, before each of the two layers.
    """

    def __init__(self, dim: int = 768, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.fc_hid = nn.Conv3d(dim, hidden, 1)
        self.fc_last = nn.Conv3d(hidden, 1, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the score map, (B, T, P), from features (B, T, P, D)."""
        x = self.dropout(feature.permute(0, 3, 1, 2).unsqueeze(-1))
        x = self.fc_last(self.dropout(F.gelu(self.fc_hid(x))))
        y: Tensor = x.squeeze(-1).squeeze(1)
        return y
