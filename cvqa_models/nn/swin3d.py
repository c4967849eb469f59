"""Video Swin transformer with gated relative position biases: the backbone of FAST-VQA and of COVER's technical branch.

Parameter names and shapes are those of the published checkpoints. Liu et al., "Video Swin Transformer", CVPR 2022;
the biases: Wu et al., "FAST-VQA", ECCV 2022, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute
from torchvision.ops import StochasticDepth

from cvqa_models.nn.pointwise import by_frames

Size = tuple[int, int, int]
_PATCH: Size = (2, 4, 4)
_PAIRS = 2**17  # of tokens that attend at once: one window of 8 x 7 x 7, or many small ones
_BASE_INPUT: Size = (32, 224, 224)  # the input for the full window; adaptive windows scale with the input


class Swin3D(nn.Module):
    """Turn a clip into a map of tokens, shape (B, 8 `dim`, T/2, H/32, W/32) with four stages.

    Args:
        dim: Width of the first stage; every stage doubles it.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        window: Largest attention window in tokens: time, rows, columns.
        fragment_bias: Whether token pairs of the same fragment have a second bias table, in all stages but the last.
        adaptive_window: Scale the window with the input, as FAST-VQA does. If false, a window larger than the token map
            is cut to it, and uses the first rows of the bias index. That is only right if just the time axis is cut,
            but the published COVER and DOVER weights were trained that way.
        drop_path: Probability of skipping the last block in training (stochastic depth); it rises linearly from 0 at
            the first block.
    """

    def __init__(
        self,
        *,
        dim: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        window: Size = (8, 7, 7),
        fragment_bias: bool = True,
        adaptive_window: bool = False,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        if len(depths) != len(heads):
            raise ValueError(
                f"`depths` has {len(depths)} entries and `heads` {len(heads)}; expected one per stage each."
            )
        self.window = window
        self.adaptive_window = adaptive_window
        self.dim = dim * 2 ** (len(depths) - 1)
        self.patch_embed = _PatchEmbed(dim)
        drops = (drop_path * block / max(sum(depths) - 1, 1) for block in count())
        self.layers = nn.ModuleList(
            _Stage(
                dim * 2**stage,
                heads[stage],
                window,
                [next(drops) for _ in range(depth)],
                fragment_bias and stage < len(depths) - 1,
                merge=stage < len(depths) - 1,
            )
            for stage, depth in enumerate(depths)
        )
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised token map, (B, C, T', H', W'), from normalised pixels (B, 3, T, H, W)."""
        window = self.window
        if self.adaptive_window:
            t, h, w = (base * size // full for base, size, full in zip(window, x.shape[2:], _BASE_INPUT, strict=True))
            window = (t, h, w)
            if min(window) < 1:
                raise ValueError(
                    f"A clip of {tuple(x.shape[2:])} leaves an attention window of {window} tokens; expected at least "
                    "one per axis. Give longer or larger clips, or set `adaptive_window` to false."
                )
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x, window, self.adaptive_window)
        y: Tensor = self.norm(x)
        return y.permute(0, 4, 1, 2, 3)


class _PatchEmbed(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, dim, _PATCH, stride=_PATCH)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens, channels last (B, D, H, W, C); an incomplete patch at the end is filled with zeros."""
        pad = [value for size, step in zip(x.shape[:1:-1], _PATCH[::-1], strict=True) for value in (0, -size % step)]
        y: Tensor = self.norm(self.proj(F.pad(x, pad)).permute(0, 2, 3, 4, 1))
        return y


class _Stage(nn.Module):
    def __init__(
        self, dim: int, heads: int, window: Size, drops: list[float], fragment_bias: bool, *, merge: bool
    ) -> None:
        super().__init__()
        half = (window[0] // 2, window[1] // 2, window[2] // 2)
        self.blocks = nn.ModuleList(
            _Block(dim, heads, window, half if index % 2 else (0, 0, 0), drop, fragment_bias)
            for index, drop in enumerate(drops)
        )
        self.downsample = _PatchMerging(dim) if merge else None

    def forward(self, x: Tensor, window: Size, adaptive: bool) -> Tensor:
        for block in self.blocks:
            if self.training:  # the full-size maps of twelve blocks would take about 10 GB per video
                x = recompute(block, x, window, adaptive, use_reentrant=False)
            else:
                x = block(x, window, adaptive)
        return x if self.downsample is None else self.downsample(x)


class _PatchMerging(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens at half height and width and twice the channels; an odd edge is filled with zeros."""
        x = F.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2))
        corners = [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        y: Tensor = self.reduction(self.norm(torch.cat(corners, dim=-1)))
        return y


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, window: Size, shift: Size, drop: float, fragment_bias: bool) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = _WindowAttention(dim, heads, window, fragment_bias)
        self.drop_path = StochasticDepth(drop, "row")
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _Mlp(dim)

    def forward(self, x: Tensor, window: Size, adaptive: bool) -> Tensor:
        x = x + self.drop_path(self._attend(self.norm1(x), window, adaptive))
        y: Tensor = x + self.drop_path(by_frames(self._mix, x))
        return y

    def _mix(self, x: Tensor) -> Tensor:
        y: Tensor = self.mlp(self.norm2(x))
        return y

    def _attend(self, x: Tensor, window: Size, adaptive: bool) -> Tensor:
        depth, height, width = grid = (x.shape[1], x.shape[2], x.shape[3])
        window, shift = _fit(grid, window, self.shift)
        # Tokens of the padding are zero after the norm, but still take part as keys and values, with their bias.
        pad = [value for size, step in zip(grid[::-1], window[::-1], strict=True) for value in (0, -size % step)]
        x = F.pad(x, [0, 0, *pad])
        padded = (x.shape[1], x.shape[2], x.shape[3])
        if any(shift):
            x = torch.roll(x, [-step for step in shift], dims=(1, 2, 3))
        y = _join(self.attn(_split(x, window), _layout(padded, window, shift), window, adaptive), padded, window)
        if any(shift):
            y = torch.roll(y, shift, dims=(1, 2, 3))
        return y[:, :depth, :height, :width]


class _Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class _Layout(NamedTuple):
    """What attention must know of a token grid; int8, built once per size.

    The gate of token pairs is only spatial, because a fragment spans all frames: (windows in space, P, P) with P
    positions per frame of a window. With the time axis and as float it would take 0.1 to 2 GB.

    Attributes:
        gate: Distance between the fragments of two positions of a window, in fragments: |rows| + |columns|, (S, P, P).
        region: Contiguous piece of the grid to which a token belonged before the cyclic shift, (S, windows in time, N);
            None without a shift.
    """

    gate: Tensor
    region: Tensor | None


class _WindowAttention(nn.Module):
    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: Size, fragment_bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        rows = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.empty(rows, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.fragment_position_bias_table = nn.Parameter(torch.zeros(rows, heads)) if fragment_bias else None
        self.register_buffer("relative_position_index", _relative_index(window))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, layout: _Layout, window: Size, adaptive: bool) -> Tensor:
        """Return the tokens after attention in their windows, shape (S, B, n, N, C) as `x`; a few places at a time."""
        N = x.shape[3]
        relative, fragment = self._tables(window, adaptive, N)
        at_once = max(1, _PAIRS // N**2)  # all queries, keys, values and biases at once would take most memory
        gates = layout.gate.to(x.device).split(at_once)
        regions: Sequence[Tensor | None] = [None] * len(gates)
        if layout.region is not None:
            regions = layout.region.to(x.device).split(at_once)
        out = []
        for tokens, gate, region in zip(x.split(at_once), gates, regions, strict=True):
            bias = relative.unsqueeze(0)
            if fragment is not None:
                bias = fragment + gate.repeat(1, window[0], window[0]).unsqueeze(1) * (relative - fragment)
            bias = bias.unsqueeze(1)
            if region is not None:
                bias = bias - 100.0 * (region[:, :, None, :, None] != region[:, :, None, None, :])
            out.append(self._attend(tokens, bias))
        return torch.cat(out)

    def _attend(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return tokens (P, B, n, N, C) after attention in each window, with its bias (P or 1, n or 1, heads, N, N)."""
        *windows, N, C = x.shape
        q, k, v = self.qkv(x).view(-1, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        alike = bias.shape[:2] == (1, 1)  # the same for all windows
        bias = bias[0] if alike else bias.unsqueeze(1).expand(*windows, -1, -1, -1).flatten(0, 2)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        attended: Tensor = self.proj(y.transpose(1, 2).reshape(*windows, N, C))
        return attended

    def _tables(self, window: Size, adaptive: bool, N: int) -> tuple[Tensor, Tensor | None]:
        """Return relative and fragment bias of a window, (heads, N, N) each."""
        index = self.relative_position_index
        if adaptive:
            d, h, w = window
            index = index.view(*self.window, *self.window)[:d, :h, :w, :d, :h, :w]
        else:
            index = index[:N, :N]
        flat = index.reshape(-1)
        relative = self.relative_position_bias_table[flat].view(N, N, -1).permute(2, 0, 1)
        if self.fragment_position_bias_table is None:
            return relative, None
        return relative, self.fragment_position_bias_table[flat].view(N, N, -1).permute(2, 0, 1)


def _fit(grid: Size, window: Size, shift: Size) -> tuple[Size, Size]:
    """Return window and shift for a grid; on an axis that fits into one window, the window is cut and not shifted."""
    fitted = [(size, 0) if size <= step else (step, move) for size, step, move in zip(grid, window, shift, strict=True)]
    (d, sd), (h, sh), (w, sw) = fitted
    return (d, h, w), (sd, sh, sw)


def _split(x: Tensor, window: Size) -> Tensor:
    """Return the windows of (B, D, H, W, C) as (places in space, B, windows in time, tokens, C)."""
    (d, h, w), (B, D, H, W, C) = window, x.shape
    x = x.view(B, D // d, d, H // h, h, W // w, w, C).permute(3, 5, 0, 1, 2, 4, 6, 7)
    return x.reshape((H // h) * (W // w), B, D // d, d * h * w, C)


def _join(x: Tensor, grid: Size, window: Size) -> Tensor:
    """Undo `_split`."""
    (d, h, w), (D, H, W), B = window, grid, x.shape[1]
    x = x.view(H // h, W // w, B, D // d, d, h, w, -1).permute(2, 3, 4, 0, 5, 1, 6, 7)
    return x.reshape(B, D, H, W, -1)


def _relative_index(window: Size) -> Tensor:
    """Return the bias row of each pair of tokens of a window, int64 (N, N)."""
    axes = [torch.arange(size) for size in window]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    apart = places[:, :, None] - places[:, None, :]
    d, h, w = (difference + size - 1 for difference, size in zip(apart, window, strict=True))
    index: Tensor = (d * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w
    return index


@lru_cache(maxsize=64)
def _layout(grid: Size, window: Size, shift: Size) -> _Layout:
    """Return gate and regions of a padded grid; see `_Layout`."""
    with torch.inference_mode(False):  # the result is kept after this call, so it must also work in training
        return _Layout(_gate(grid, window, shift), _regions(grid, window, shift) if any(shift) else None)


def _gate(grid: Size, window: Size, shift: Size) -> Tensor:
    # The published networks take as many fragments as a window has positions; this is right if both are 7 x 7.
    axes = []
    for axis in (1, 2):
        fragment = torch.arange(grid[axis]) * window[axis] // grid[axis]  # nearest-neighbour resize of the indices
        axes.append(torch.roll(fragment, -shift[axis]))
    fragments = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    flat = _split(fragments[None, None], (1, *window[1:])).flatten(0, 2)
    return (flat[:, :, None] - flat[:, None, :]).abs().sum(-1).to(torch.int8)


def _regions(grid: Size, window: Size, shift: Size) -> Tensor:
    labels = torch.zeros(grid, dtype=torch.int8)
    for axis, (size, step, move) in enumerate(zip(grid, window, shift, strict=True)):
        if not move:
            continue
        along = torch.zeros(size, dtype=torch.int8)
        along[-step:] = 1
        along[-move:] = 2
        labels = labels * 3 + along.view([-1 if other == axis else 1 for other in range(3)])
    return _split(labels[None, ..., None], window).select(1, 0).squeeze(-1)
