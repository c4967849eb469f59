"""COVER's fusion: semantic features gate quality features, and then heads score every position.

He et al., "COVER: A Comprehensive Video Quality Evaluator", CVPRW 2024. Parameter names are those of its checkpoint.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cvqa_models.nn.map_head import MapHead


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


class CrossGating(nn.Module):
    """All of COVER except its backbones: two gates and three heads.

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
        # The published network copies the semantic feature to all positions. In evaluation the scores are equal; in
        # training each copy has its own dropout.
        semantic = semantic.unsqueeze(2)
        return {
            "semantic": self.semantic_head(semantic),
            "technical": self.technical_head(self.smtc_gate_tech(semantic, technical)),
            "aesthetic": self.aesthetic_head(self.smtc_gate_aesc(semantic, aesthetic)),
        }
