"""mPLUG-Owl2, the network of Q-Align: a vision transformer, a visual abstractor and a modality-adaptive LLaMA-2.

Written from the published architecture (mPLUG-Owl2, CVPR 2024; Q-Align, ICML 2024), with the parameter names of the
public `one-align` checkpoints, so that these load unchanged. DeQA-Score and Q-Instruct's mPLUG use the same names.

    pixels (M, 3, 448, 448) -> vision_model -> (M, 1025, 1024) -> visual_abstractor -> (M, 65, 4096) --+
    prompt before the image -> embed_tokens --------------------------------------------------------> decoder -> norm
    prompt after the image  -> embed_tokens --------------------------------------------------------+
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute


@dataclass(frozen=True)
class MplugOwl2Config:
    """Sizes of the network; the defaults are those of the public 7B checkpoints.

    Attributes:
        image_size: Side of the square input, in pixels.
        patch_size: Side of a patch, in pixels.
        vision_dim: Width of the vision transformer and of the abstractor.
        vision_hidden: Inner width of the vision transformer's MLPs.
        vision_layers: Layers of the vision transformer.
        vision_heads: Attention heads of the vision transformer.
        num_queries: Learned queries of the abstractor; an image becomes `num_queries` + 1 tokens.
        abstractor_hidden: Inner width of the abstractor's MLPs.
        abstractor_layers: Layers of the abstractor.
        abstractor_heads: Attention heads of the abstractor.
        vocabulary: Number of text tokens.
        dim: Width of the decoder, and so of a feature.
        hidden: Inner width of the decoder's MLPs.
        layers: Layers of the decoder.
        heads: Attention heads of the decoder.
        rms_eps: Epsilon of the decoder's norms; `read` takes the released value from the checkpoint's config.json.
    """

    image_size: int = 448
    patch_size: int = 14
    vision_dim: int = 1024
    vision_hidden: int = 4096
    vision_layers: int = 24
    vision_heads: int = 16
    num_queries: int = 64
    abstractor_hidden: int = 2816
    abstractor_layers: int = 6
    abstractor_heads: int = 16
    vocabulary: int = 32000
    dim: int = 4096
    hidden: int = 11008
    layers: int = 32
    heads: int = 32
    rms_eps: float = 1e-6

    @property
    def grid(self) -> int:
        """Return the number of patches along a side."""
        return self.image_size // self.patch_size

    @classmethod
    def read(cls, path: Path) -> MplugOwl2Config:
        """Return the sizes in a released `config.json`: those of the decoder; visual sizes are equal in all releases.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file does not describe an mPLUG-Owl2 decoder.
        """
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no '{path}'; download the whole folder of the checkpoint, not its shards alone."
            )
        names = {
            "vocabulary": "vocab_size",
            "dim": "hidden_size",
            "hidden": "intermediate_size",
            "layers": "num_hidden_layers",
            "heads": "num_attention_heads",
            "rms_eps": "rms_norm_eps",
        }
        stated = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in names.values() if name not in stated]
        if missing:
            raise ValueError(
                f"'{path}' states no `{missing[0]}`; expected the config.json of an mPLUG-Owl2 checkpoint."
            )
        return cls(**{ours: stated[theirs] for ours, theirs in names.items()})


class MplugOwl2(nn.Module):
    """The whole network under its official parameter names."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.config = config
        self.model = _Body(config)
        self.lm_head = nn.Linear(config.dim, config.vocabulary, bias=False)

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """Return `num_queries` + 1 decoder tokens per image, (M, Q + 1, dim), of normalised `pixels` (M, 3, S, S)."""
        abstractor = self.model.visual_abstractor
        # The abstractor may be trained in float32, after a frozen vision transformer in bfloat16.
        return abstractor(self.model.vision_model(pixels).to(abstractor.vit_eos.dtype))  # type: ignore[no-any-return]

    def forward(self, before: Tensor, pixels: Tensor, after: Tensor) -> Tensor:
        """Return the final-norm hidden states of prompt and images, which `lm_head` turns into logits.

        Args:
            before: Token ids before the image slot, int64, shape (P,); the same for all rows.
            pixels: Normalised images, (B, K, 3, S, S); the tokens of a row's K images follow each other in the slot.
            after: Token ids after the image slot, int64, shape (Q,).

        Returns:
            Hidden states, shape (B, P + K * (num_queries + 1) + Q, dim).
        """
        images = self.image_tokens(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2]).flatten(1, 2)
        return self.model(before, images, after)  # type: ignore[no-any-return]


class _Body(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.dim)
        self.layers = nn.ModuleList(_DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.dim, config.rms_eps)
        self.vision_model = _VisionTransformer(config)
        self.visual_abstractor = _Abstractor(config)
        self.head_dim = config.dim // config.heads

    def forward(self, before: Tensor, images: Tensor, after: Tensor) -> Tensor:
        rows = images.shape[0]
        text = [self.embed_tokens(ids).expand(rows, -1, -1) for ids in (before, after)]
        x = torch.cat([text[0], images.to(text[0].dtype), text[1]], dim=1)
        span = slice(len(before), len(before) + images.shape[1])
        rotary = _rotary_table(x.shape[1], self.head_dim, x.device)
        for layer in self.layers:
            x = _layer(layer, x, span, rotary)
        return self.norm(x)  # type: ignore[no-any-return]


def _layer(layer: nn.Module, *arguments: object) -> Tensor:
    """Run a layer; in training, recompute its activations: those of all layers do not fit in memory with 7B weights."""
    if layer.training and torch.is_grad_enabled():
        return recompute(layer, *arguments, use_reentrant=False)  # type: ignore[no-any-return]
    return layer(*arguments)  # type: ignore[no-any-return]


def _attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Return attention of heads (B, H, T, D) with the heads joined, (B, T, H * D)."""
    joined: Tensor = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
    return joined


def _split(x: Tensor, heads: int) -> Tensor:
    """Return (B, T, H * D) as heads, (B, H, T, D)."""
    split: Tensor = x.unflatten(2, (heads, -1))
    return split.transpose(1, 2)


class _Stack(nn.Module):
    """Layers under the official name `encoder.layers`."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


# Decoder ------------------------------------------------------------------------------------------------------------


class _Multiway(nn.Module):
    """Two layers of one kind: entry 0 for text positions, entry 1 for image positions."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.multiway = nn.ModuleList([make(), make()])

    def forward(self, x: Tensor, image: slice) -> Tensor:
        text, visual = self.multiway
        # The image is one contiguous span, so each position is computed once, with its own layer.
        parts = [text(x[:, : image.start]), visual(x[:, image]), text(x[:, image.stop :])]
        return torch.cat(parts, dim=1)


class _DecoderLayer(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.self_attn = _DecoderAttention(config)
        self.mlp = _GatedMlp(config)
        self.input_layernorm = _Multiway(lambda: nn.RMSNorm(config.dim, config.rms_eps))
        self.post_attention_layernorm = _Multiway(lambda: nn.RMSNorm(config.dim, config.rms_eps))

    def forward(self, x: Tensor, image: slice, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x, image), image, rotary)
        return x + self.mlp(self.post_attention_layernorm(x, image))  # type: ignore[no-any-return]


class _DecoderAttention(nn.Module):
    """Causal attention with keys and values that depend on the modality."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.dim, config.dim, bias=False)
        self.k_proj = _Multiway(lambda: nn.Linear(config.dim, config.dim, bias=False))
        self.v_proj = _Multiway(lambda: nn.Linear(config.dim, config.dim, bias=False))
        self.o_proj = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, image: slice, rotary: tuple[Tensor, Tensor]) -> Tensor:
        q = _rotate(_split(self.q_proj(x), self.heads), rotary)
        k = _rotate(_split(self.k_proj(x, image), self.heads), rotary)
        v = _split(self.v_proj(x, image), self.heads)
        return self.o_proj(_attend(q, k, v, causal=True))  # type: ignore[no-any-return]


class _GatedMlp(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.dim, config.hidden, bias=False)
        self.up_proj = nn.Linear(config.dim, config.hidden, bias=False)
        self.down_proj = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))  # type: ignore[no-any-return]


def _rotary_table(length: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles, float32, shape (length, dim); base 10,000."""
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angle = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequency)
    angle = torch.cat([angle, angle], dim=1)
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Return heads (B, H, T, D) rotated by their position; channel i is paired with channel i + D / 2."""
    cos, sin = (table.to(x.dtype) for table in rotary)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


# Vision transformer -------------------------------------------------------------------------------------------------


class _VisionTransformer(nn.Module):
    """ViT-L/14; all tokens of its last layer, the class token too, go to the abstractor."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.embeddings = _PatchEmbedding(config)
        self.encoder = _Stack(_VisionLayer(config) for _ in range(config.vision_layers))
        self.post_layernorm = nn.LayerNorm(config.vision_dim, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embeddings(pixels)
        for layer in self.encoder.layers:
            x = _layer(layer, x)
        return self.post_layernorm(x)  # type: ignore[no-any-return]


class _PatchEmbedding(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        D = config.vision_dim
        self.cls_token = nn.Parameter(torch.randn(1, 1, D) * 0.02)
        self.position_embedding = nn.Parameter(torch.randn(1, config.grid**2 + 1, D) * 0.02)
        self.patch_embed = nn.Conv2d(3, D, config.patch_size, stride=config.patch_size, bias=False)
        self.pre_layernorm = nn.LayerNorm(D, eps=1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels.to(self.patch_embed.weight.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1)
        return self.pre_layernorm(x + self.position_embedding)  # type: ignore[no-any-return]


class _VisionLayer(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.self_attn = _VisionAttention(config)
        self.input_layernorm = nn.LayerNorm(config.vision_dim, eps=1e-6)
        self.mlp = _VisionMlp(config)
        self.post_attention_layernorm = nn.LayerNorm(config.vision_dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


class _VisionAttention(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.heads = config.vision_heads
        self.query_key_value = nn.Linear(config.vision_dim, 3 * config.vision_dim)
        self.dense = nn.Linear(config.vision_dim, config.vision_dim)

    def forward(self, x: Tensor) -> Tensor:
        # The fused output is ordered (head, query | key | value, channel), unlike most transformers.
        q, k, v = self.query_key_value(x).unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        return self.dense(_attend(q, k, v))  # type: ignore[no-any-return]


class _VisionMlp(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.vision_dim, config.vision_hidden)
        self.fc2 = nn.Linear(config.vision_hidden, config.vision_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))  # type: ignore[no-any-return]


# Visual abstractor --------------------------------------------------------------------------------------------------


class _Abstractor(nn.Module):
    """Learned queries that read the image tokens; a projection to the decoder; a learned end token."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.query_embeds = nn.Parameter(torch.randn(1, config.num_queries, config.vision_dim) * 0.02)
        self.encoder = _Stack(_AbstractorLayer(config) for _ in range(config.abstractor_layers))
        self.visual_fc = nn.Linear(config.vision_dim, config.dim)
        self.vit_eos = nn.Parameter(torch.randn(1, 1, config.dim) * 0.02)

    def forward(self, image: Tensor) -> Tensor:
        rows = len(image)
        x = self.query_embeds.expand(rows, -1, -1)
        for layer in self.encoder.layers:
            x = _layer(layer, x, image)
        x = self.visual_fc(x)
        return torch.cat([x, self.vit_eos.expand(rows, -1, -1).to(x.dtype)], dim=1)


class _AbstractorLayer(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.crossattention = _CrossAttention(config)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        return self.crossattention(x, image)  # type: ignore[no-any-return]


class _CrossAttention(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.attention = _AbstractorAttention(config)
        self.output = _AbstractorOutput(config)
        self.norm1 = nn.LayerNorm(config.vision_dim)
        self.normk = nn.LayerNorm(config.vision_dim)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        x = self.norm1(x)  # the normalised queries are also the base of the residual
        return self.output(x, self.attention(x, torch.cat([x, self.normk(image)], dim=1)))  # type: ignore[no-any-return]


class _AbstractorAttention(nn.Module):
    q_pos_embed: Tensor
    k_pos_embed: Tensor

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        D = config.vision_dim
        self.heads = config.abstractor_heads
        self.register_buffer("q_pos_embed", _line_table(config.num_queries, D))
        self.register_buffer("k_pos_embed", _grid_table(config.grid, D))
        self.query = nn.Linear(D, D)
        self.key = nn.Linear(D, D)
        self.value = nn.Linear(D, D)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        positions = torch.cat([self.q_pos_embed, self.k_pos_embed])
        q = _split(self.query(x + self.q_pos_embed), self.heads)
        k = _split(self.key(memory + positions), self.heads)
        v = _split(self.value(memory), self.heads)
        return _attend(q, k, v)


class _AbstractorOutput(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.out_proj = nn.Linear(config.vision_dim, config.vision_dim)
        self.norm2 = nn.LayerNorm(config.vision_dim)
        self.mlp = _AbstractorMlp(config)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out_proj(attended)
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class _AbstractorMlp(nn.Module):
    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.vision_dim, config.abstractor_hidden)
        self.w2 = nn.Linear(config.abstractor_hidden, config.vision_dim)
        self.w3 = nn.Linear(config.vision_dim, config.abstractor_hidden)
        self.ffn_ln = nn.LayerNorm(config.abstractor_hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(self.ffn_ln(F.silu(self.w1(x)) * self.w3(x)))  # type: ignore[no-any-return]


def _line_table(length: int, dim: int) -> Tensor:
    """Return sines, then cosines of positions 0 to `length` - 1, float32, shape (length, dim)."""
    frequency = 10000.0 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def _grid_table(grid: int, dim: int) -> Tensor:
    """Return the positions of the class token (zeros) and of a square grid, row by row, (grid**2 + 1, dim)."""
    line = _line_table(grid, dim // 2)
    columns = line.repeat(grid, 1)
    rows = line.repeat_interleave(grid, dim=0)
    return torch.cat([torch.zeros(1, dim, device=line.device), torch.cat([columns, rows], dim=1)])
