"""Build vision-language models of transformers: from a folder, untrained, or from weights in LLaVA's own layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from cvqa_models.extras import check_installed
from cvqa_models.nn.lmm.levels import word_tokenizer

IMAGE = "<image>"
# Pattern in the checkpoints of LLaVA's authors -> name in transformers; an empty name leaves the tensor out.
ORIGINAL_LAYOUT = {
    r".*(rotary_emb\.inv_freq|position_ids)": "",
    r"model\.(embed_tokens|layers|norm)\.(.*)": r"model.language_model.\1.\2",
    r"model\.mm_projector\.0\.(.*)": r"model.multi_modal_projector.linear_1.\1",
    r"model\.mm_projector\.2\.(.*)": r"model.multi_modal_projector.linear_2.\1",
    r"model\.vision_tower\.vision_tower\.(?:vision_model\.)?(.*)": r"model.vision_tower.\1",
}


class TextSizes(TypedDict, total=False):
    """Sizes of the text stack, with transformers' names; the defaults are those of LLaVA-1.5-7B."""

    model_type: Literal["llama"]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int


class VisionSizes(TypedDict, total=False):
    """Sizes of the vision tower, with transformers' names; the defaults are those of LLaVA-1.5-7B."""

    model_type: Literal["clip_vision_model"]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    image_size: int
    patch_size: int


class LlavaSizes(TypedDict, total=False):
    """Sizes of a LLaVA. The rest of transformers' configuration is left out: it can name programs to run."""

    text_config: TextSizes
    vision_config: VisionSizes


def read_pretrained(folder: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """Return the network and the processor in `folder`, for any image-text-to-text model of transformers.

    transformers refuses a folder that contains programs.
    """
    check_installed("transformers", what="A language model")
    from transformers import AutoModelForImageTextToText, AutoProcessor

    alone = {"local_files_only": True, "trust_remote_code": False}
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, **alone)
    return network, AutoProcessor.from_pretrained(folder, **alone)


def untrained_llava(sizes: LlavaSizes, texts: Sequence[str]) -> tuple[nn.Module, Any]:
    """Return an untrained LLaVA and a processor whose vocabulary is the words of `texts`.

    Args:
        sizes: Arguments of transformers' `LlavaConfig`, with `text_config` and `vision_config`.
        texts: All texts that the network will read.

    Raises:
        ValueError: If the network's vocabulary is smaller than that of `texts`.
    """
    check_installed("transformers", what="A language model")
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    special = ["<s>", "<pad>", IMAGE]
    words = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(texts, special), unk_token="<unk>", bos_token="<s>", pad_token="<pad>"
    )
    config = LlavaConfig(**sizes, image_token_index=words.convert_tokens_to_ids(IMAGE))
    if len(words) > config.text_config.vocab_size:
        raise ValueError(
            f"`vocab_size` is {config.text_config.vocab_size}, but prompt and words need {len(words)}; raise it."
        )
    side = config.vision_config.image_size
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer=words,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # the class token, which the "default" strategy removes again
    )
    return LlavaForConditionalGeneration(config), processor


def from_original_layout(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a transformers LLaVA, with the tensors of a checkpoint in the layout of LLaVA's authors.

    If the checkpoint has no vision tower, that of `own` stays. The rows of tokens that transformers added to the
    vocabulary (`<image>`, padding) stay too.

    Args:
        tensors: The authors' names -> tensors, as LLaVA-1.5 and Q-Instruct publish them.
        own: State dict of the network that will hold them.
    """
    state = dict(own)
    for key, tensor in tensors.items():
        name = _own_name(key)
        if not name:
            continue
        grown = name.endswith(("embed_tokens.weight", "lm_head.weight")) and name in own
        state[name] = torch.cat([tensor, own[name][len(tensor) :].to(tensor.dtype)]) if grown else tensor
    return state


def _own_name(key: str) -> str:
    for pattern, name in ORIGINAL_LAYOUT.items():
        if match := re.fullmatch(pattern, key):
            return match.expand(name)
    return key
