"""COVER's fusion: a gate by which semantics steers quality features, and the head that scores every position.

He et al., "COVER: A Comprehensive Video Quality Evaluator", CVPRW 2024. Parameter names are those of its checkpoint.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SemanticGate(nn.Module):
    """Gate the features of a branch by the semantic features of the same moment.

    All layers are linear over channels. The residual is the projected branch feature, not the feature itself.

    Args:
        dim: Channels of both inputs.
        dropout: Probability of dropping a gated channel.
    """

    def __init__(self, dim: int = 768, dropout: float = 0.1) -> None:
        super().__init__()
        self.Conv_0 = nn.Linear(dim, dim)
        self.Conv_1 = nn.Linear(dim, dim)
        self.in_project_x = nn.Linear(dim, dim)
        self.out_project_y = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, semantic: Tensor, feature: Tensor) -> Tensor:
        """Return the gated features, (B, T, P, D), from `semantic` (B, T, 1 or P, D) and `feature` (B, T, P, D)."""
        gate = F.gelu(self.in_project_x(self.Conv_0(semantic)), approximate="tanh")
        projected: Tensor = self.Conv_1(feature)
        gated: Tensor = projected + self.dropout(self.out_project_y(projected * gate))
        return gated


class MapHead(nn.Module):
    """Score every position of a token map; the score of a video is the mean of its map.

    Args:
        dim: Channels of the map.
        hidden: Width of the hidden layer.
        dropout: Probability of dropping a channel, before either layer.
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


class CrossGating(nn.Module):
    """All of COVER but its backbones: two gates and three heads.

    Args:
        dim: Channels of all three inputs.
    """

    def __init__(self, dim: int = 768) -> None:
        super().__init__()
        self.smtc_gate_tech = SemanticGate(dim)
        self.smtc_gate_aesc = SemanticGate(dim)
        self.technical_head = MapHead(dim)
        self.aesthetic_head = MapHead(dim)
        self.semantic_head = MapHead(dim)

    def forward(self, semantic: Tensor, technical: Tensor, aesthetic: Tensor) -> dict[str, Tensor]:
        """Return the score maps by branch: `semantic` (B, T, 1), `technical` and `aesthetic` (B, T, P).

        Args:
            semantic: One feature per moment, (B, T, D).
            technical: Features of P positions at the same moments, (B, T, P, D).
            aesthetic: As `technical`; P may differ.
        """
        # The published network copies the semantic feature to all positions: equal scores in evaluation, and in
        # training each copy has a dropout of its own.
        semantic = semantic.unsqueeze(2)
        return {
            "semantic": self.semantic_head(semantic),
            "technical": self.technical_head(self.smtc_gate_tech(semantic, technical)),
            "aesthetic": self.aesthetic_head(self.smtc_gate_aesc(semantic, aesthetic)),
        }
