"""An untrained Qwen3.5-VL, the network of Q-ReAlign, of any size, and a processor with Qwen's form of conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

from torch import nn

from cvqa_models.extras import check_installed
from cvqa_models.nn.lmm.levels import word_tokenizer

IMAGE, VIDEO, START, END = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
_TURNS = ("<|im_start|>", "<|im_end|>")
# The smallest part of Qwen's own template: each turn between its marks, and a picture as three tokens. Spaces separate
# the words of an untrained vocabulary.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant\n{% endif %}"
)


class QwenTextSizes(TypedDict, total=False):
    """Sizes of the text stack, with transformers' names; transformers' defaults are those of Qwen3.5-9B."""

    model_type: Literal["qwen3_5_text"]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    linear_key_head_dim: int
    linear_value_head_dim: int
    linear_num_key_heads: int
    linear_num_value_heads: int
    layer_types: list[Literal["linear_attention", "full_attention"]]
    vocab_size: int


class QwenVisionSizes(TypedDict, total=False):
    """Sizes of the vision tower, with transformers' names and defaults."""

    model_type: Literal["qwen3_5_vision"]
    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_position_embeddings: int
    out_hidden_size: int
    patch_size: int


class QwenSizes(TypedDict, total=False):
    """Sizes of a Qwen3.5-VL. The rest of transformers' configuration is left out: it can name programs to run."""

    text_config: QwenTextSizes
    vision_config: QwenVisionSizes


def untrained_qwen(sizes: QwenSizes, texts: Sequence[str]) -> tuple[nn.Module, Any]:
    """Return an untrained Qwen3.5-VL and a processor whose vocabulary is the words of `texts` and of a conversation.

    Args:
        sizes: Arguments of transformers' `Qwen3_5Config`, with `text_config` and `vision_config`.
        texts: All texts that the network will read.

    Raises:
        ValueError: If the network's vocabulary is smaller than the number of these words.
    """
    check_installed("transformers", what="A language model")
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLImageProcessor,
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    special = ["<pad>", IMAGE, VIDEO, START, END, *_TURNS]
    words = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer([*texts, "user assistant"], special), unk_token="<unk>", pad_token="<pad>"
    )
    names = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": START}
    tokens = {name: words.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Qwen3_5Config(**sizes, **tokens, vision_end_token_id=words.convert_tokens_to_ids(END))
    if "out_hidden_size" not in sizes.get("vision_config", {}):
        config.vision_config.out_hidden_size = config.text_config.hidden_size
    if len(words) > config.text_config.vocab_size:
        raise ValueError(
            f"`vocab_size` is {config.text_config.vocab_size}, but prompt and words need {len(words)}; raise it."
        )
    patch = config.vision_config.patch_size
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessor(patch_size=patch),
        words,
        Qwen3VLVideoProcessor(patch_size=patch),
        chat_template=CHAT_TEMPLATE,
    )
    return Qwen3_5ForConditionalGeneration(config), processor
