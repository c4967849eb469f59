"""The image tower of OpenAI's CLIP, for pictures of any size.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021. Parameter names are
those of the published checkpoints, without their prefix `visual.`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 1.702


class ClipTower(nn.Module):
    """Turn a picture into its embedding, shape (B, `dim`); the defaults are ViT-L/14.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        dim: Width of the embedding.
        side: Side of the pictures in pixels, fixed by the positional embedding. None leaves that embedding out: any
            size works, and the result does not depend on how the patches are arranged, as in CLIP-IQA and COVER.
    """

    def __init__(
        self,
        *,
        width: int = 1024,
        depth: int = 24,
        heads: int = 16,
        patch: int = 14,
        dim: int = 768,
        side: int | None = 224,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
        self.positional_embedding = (
            None if side is None else nn.Parameter(torch.randn((side // patch) ** 2 + 1, width) * width**-0.5)
        )
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = _Transformer(width, depth, heads)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.randn(width, dim) * width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings, not normalised, (B, `dim`), from normalised pixels (B, 3, H, W).

        Pixels beyond the last whole patch are not seen.
        """
        patches = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.to(patches.dtype).expand(len(patches), 1, -1), patches], dim=1)
        x = self.ln_pre(x if self.positional_embedding is None else x + self.positional_embedding)
        embedding: Tensor = self.ln_post(self.transformer(x)) @ self.proj
        return embedding


class _Transformer(nn.Module):
    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """Return the class token after all blocks, (B, width), from tokens (B, N, width)."""
        for block in self.resblocks[:-1]:
            x = block(x, x.shape[1])
        # The patches of the last block are not used, so only its first token is computed; this saves 3 % of the time.
        y: Tensor = self.resblocks[-1](x, 1).squeeze(1)
        return y


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        """Return the first `wanted` tokens, (B, wanted, width), which attend to all."""
        x = x[:, :wanted] + self.attn(self.ln_1(x), wanted)
        y: Tensor = x + self.mlp(self.ln_2(x))
        return y


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, wanted: int) -> Tensor:
        B, _, width = x.shape
        q = F.linear(x[:, :wanted], self.in_proj_weight[:width], self.in_proj_bias[:width])
        k, v = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        y: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, wanted, width))
        return y


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        # CLIP's approximation of GELU, y * sigmoid(1.702 y), is silu(1.702 y) / 1.702. With the factors inside the two
        # products and silu in place, there is one pass over the wide layer, not three, and no copy: this saves 8 % of
        # the time.
        rows = x.flatten(0, -2)
        wide = torch.addmm(self.c_fc.bias, rows, self.c_fc.weight.T, beta=_SLOPE, alpha=_SLOPE)
        y = torch.addmm(self.c_proj.bias, F.silu(wide, inplace=True), self.c_proj.weight.T, alpha=1 / _SLOPE)
        return y.view_as(x)
