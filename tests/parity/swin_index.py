"""The table of neighbours in torchvision's Swin, which the rule for weights leaves alone."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.torchvision_swin import swin_transformer


def with_index(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of torchvision's Swin with the table of neighbours in its place."""
    index = swin_transformer(6, (1, 1), (1, 1), 0.0).features[1][0].attn.relative_position_index
    return {key: index if key.endswith("relative_position_index") else value for key, value in weights.items()}
