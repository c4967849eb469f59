"""Bottleneck attention over a map of tokens, as RQ-VQA has it on top of its Swin backbone.

Srinivas et al., "Bottleneck Transformers for Visual Recognition", CVPR 2021. Parameter names are those of the
published RQ-VQA checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AttentionStack(nn.Module):
    """Three bottleneck blocks with attention over all positions; shape (B, C, H, W) is kept.

    Args:
        dim: Channels of the map.
        size: Rows and columns of the map; the relative position tables depend on them.
        blocks: Number of blocks.
        heads: Attention heads.
        head_dim: Channels per head.
    """

    def __init__(
        self, dim: int = 1024, size: tuple[int, int] = (12, 12), *, blocks: int = 3, heads: int = 4, head_dim: int = 128
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(*(_Bottleneck(dim, size, heads, head_dim) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


class _Bottleneck(nn.Module):
    def __init__(self, dim: int, size: tuple[int, int], heads: int, head_dim: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(dim)
        nn.init.zeros_(last.weight)  # at the start the block returns only its shortcut
        self.net = nn.Sequential(
            nn.Conv2d(dim, dim // 4, 1, bias=False),
            nn.BatchNorm2d(dim // 4),
            nn.ReLU(),
            _MapAttention(dim // 4, size, heads, head_dim),
            nn.Identity(),  # published blocks with a stride pool here; this keeps the parameter names
            nn.BatchNorm2d(heads * head_dim),
            nn.ReLU(),
            nn.Conv2d(heads * head_dim, dim, 1, bias=False),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.net(x))


class _MapAttention(nn.Module):
    def __init__(self, dim: int, size: tuple[int, int], heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = head_dim**-0.5
        self.to_qk = nn.Conv2d(dim, 2 * heads * head_dim, 1, bias=False)
        self.to_v = nn.Conv2d(dim, heads * head_dim, 1, bias=False)
        self.pos_emb = _RelativePosition(size, head_dim)

    def forward(self, x: Tensor) -> Tensor:
        B, _, H, W = x.shape
        q, k = self.to_qk(x).view(B, 2, self.heads, -1, H * W).transpose(-1, -2).unbind(1)
        v = self.to_v(x).view(B, self.heads, -1, H * W).transpose(-1, -2)
        bias = self.pos_emb(q * self.scale)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)
        return y.transpose(-1, -2).reshape(B, -1, H, W)


class _RelativePosition(nn.Module):
    def __init__(self, size: tuple[int, int], head_dim: int) -> None:
        super().__init__()
        self.size = size
        self.rel_height = nn.Parameter(torch.randn(2 * size[0] - 1, head_dim) * head_dim**-0.5)
        self.rel_width = nn.Parameter(torch.randn(2 * size[1] - 1, head_dim) * head_dim**-0.5)

    def forward(self, q: Tensor) -> Tensor:
        """Return what the distance of each pair adds to its logit, (B, heads, H*W, H*W), from scaled queries."""
        H, W = self.size
        q = q.unflatten(2, (H, W))
        rows = torch.einsum("bnhwd,hkd->bnhwk", q, self.rel_height[_distances(H, q.device)])
        columns = torch.einsum("bnhwd,wkd->bnhwk", q, self.rel_width[_distances(W, q.device)])
        return (rows.unsqueeze(-1) + columns.unsqueeze(-2)).flatten(4).flatten(2, 3)


def _distances(size: int, device: torch.device) -> Tensor:
    """Return the table row of query place i and key place j: j - i + size - 1."""
    places = torch.arange(size, device=device)
    return places[None, :] - places[:, None] + size - 1
