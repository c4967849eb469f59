"""Level logits of any vision-language model of transformers, with low-rank adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.qalign import IMAGES_PER_PASS, LEVELS, Dtype
from cvqa_models.branches.views import chosen_view, whole_key_frame_view
from cvqa_models.nn.lmm.levels import level_tokens
from cvqa_models.nn.lmm.llava import IMAGE, LlavaSizes, from_original_layout, read_pretrained, untrained_llava
from cvqa_models.nn.lmm.lora import Lora, adapt, trained_in_float32
from cvqa_models.nn.lmm.qwen import QwenSizes, untrained_qwen
from cvqa_models.nn.lmm.square import pad_to_square
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read

# The form of conversation on which LLaVA-1.5 was tuned, with Q-Align's question and start of the answer.
PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    f"and polite answers to the human's questions. USER: {IMAGE}\nHow would you rate the quality of this image? "
    "ASSISTANT: The quality of the image is"
)
TEXT_STACKS = ("language_model", "text_model")
VISION_TOWERS = ("vision_tower", "vision_model", "visual")
# Only in the text stack: a plain "q_proj" would adapt the vision tower too.
LORA_TARGETS = rf"({'|'.join(TEXT_STACKS)})\..*\.(q|k|v|o|gate|up|down)_proj"


class LmmLevels(Branch):
    """Level logits of a vision-language model, float32, one row per key frame: L numbers whose softmax are levels.

    Any `AutoModelForImageTextToText` works: LLaVA, LLaVA-OneVision, Qwen-VL, InternVL, SmolVLM. Of the output layer
    only the rows of the level words are used; they are multiplied in float32.

    Args:
        base: Folder of a model in transformers' layout, or a folder's name under `checkpoints/`; null for an untrained
            LLaVA. It is not called `weights`, because our checkpoints hold only adapters and trained parts, and still
            need the base.
        tuned: Folder with the same LLaVA, tuned further, in its authors' layout (Q-Instruct's); its tensors replace
            those of `base`.
        untrained: Sizes of the untrained network, with the names of transformers' `LlavaConfig` (default: those of
            LLaVA-1.5-7B); or with the names of `Qwen3_5Config`, if `model_type` of the text stack says so (default with
            a `question`: those of Qwen3.5-9B).
        words: Level words, best first.
        prompt: Text that the model reads, up to the level word, with the model's image token in it; with a `question`,
            only the start of the answer.
        question: Question about the picture, asked in the form that the model's folder prescribes (its chat template);
            null if `prompt` holds the whole conversation.
        square: Whether frames are padded to squares, as LLaVA-1.5 needs; models of dynamic resolution (Qwen-VL,
            InternVL) take the frame as it is.
        view: Single frames; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        lora: Adapters on the text stack, with the projector trained in full; null trains the whole network.
        frozen: Whether no part is trained; `lora` then has no effect.
        dtype: Type of frozen weights and of arithmetic; trained weights are stored in float32.
    """

    level_rows: Tensor

    def __init__(
        self,
        base: str | None = None,
        *,
        tuned: str | None = None,
        untrained: LlavaSizes | QwenSizes | None = None,
        words: Sequence[str] = LEVELS,
        prompt: str = PROMPT,
        question: str | None = None,
        square: bool = True,
        view: View | None = None,
        num_clips: int | None = None,
        lora: Lora | None = Lora(),  # noqa: B008 - frozen
        frozen: bool = False,
        dtype: Dtype = "bfloat16",
    ) -> None:
        variant = "square" if square else ""
        view = chosen_view(view, num_clips, whole_key_frame_view)
        super().__init__(view, len(words), frozen=frozen, variant=variant)
        self.dtype = getattr(torch, dtype)
        base = self.sources.take("base", base, trained=False)
        if tuned is not None:
            tuned = self.sources.take("tuned", tuned, trained=False)
        network, self.processor = self._build(
            base, tuned, untrained, [question or "", prompt, *words], question is not None
        )
        if question is not None:
            prompt = asked(self.processor, question) + prompt
        text, ids = level_tokens(self._encode, prompt, words)
        self.prompt = checked_prompt(text, self.processor.image_token)
        self.square = square
        rows = network.get_output_embeddings().weight[ids].detach().float()  # type: ignore[operator]
        self.register_buffer("level_rows", rows)
        self.register_buffer("prompt_ids", torch.tensor(self._encode(text)), persistent=False)  # for the digest
        self.network = network.get_submodule("model")
        if not frozen:
            self._prepare_training(lora)

    def _build(
        self,
        base: str | None,
        tuned: str | None,
        untrained: LlavaSizes | QwenSizes | None,
        texts: Sequence[str],
        asks: bool,
    ) -> tuple[nn.Module, Any]:
        if base is None:
            sizes: Any = untrained or {}
            # With a question and no sizes the network is Qwen's; LLaVA-1.5 has its conversation in the prompt.
            qwen = sizes.get("text_config", {}).get("model_type") == "qwen3_5_text" if sizes else asks
            network, processor = (untrained_qwen if qwen else untrained_llava)(sizes, texts)
            return network.to(self.dtype), processor
        if untrained is not None:
            raise ValueError(
                f"`untrained` is for an untrained network, but '{base}' states its own sizes; leave one out."
            )
        network, processor = read_pretrained(str(_folder(base)), self.dtype)
        if tuned is not None:
            files = [
                path for end in ("*.safetensors", "pytorch_model*.bin") for path in sorted(_folder(tuned).glob(end))
            ]
            tensors = {key: tensor for path in files for key, tensor in read(path).items()}
            load_exact(network, from_original_layout(tensors, network.state_dict()))
        return network, processor

    def _encode(self, text: str) -> list[int]:
        return list(self.processor.tokenizer(text, add_special_tokens=False).input_ids)

    def _prepare_training(self, lora: Lora | None) -> None:
        if lora is not None:
            adapt(self.network, lora, LORA_TARGETS)
            for name, part in self.network.named_children():
                if name not in TEXT_STACKS + VISION_TOWERS:
                    part.requires_grad_(True)
        trained_in_float32(self.network)
        # The activations of all layers do not fit into memory together with 7B weights. transformers 5 renamed this
        # switch.
        switches = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        enable = next(getattr(self.network, name) for name in switches if hasattr(self.network, name))
        enable({"use_reentrant": False})

    @property
    def sharded(self) -> Iterator[nn.Module]:
        """Yield the modules whose weights FSDP2 gathers one module at a time, inner modules first."""
        for name in TEXT_STACKS:
            stack = getattr(self.network, name, None)
            yield from getattr(stack, "layers", ())
        yield self.network

    def tokens(self, x: Tensor) -> Tensor:
        """Return level logits per key frame, float32, (B, N, L), from frames (B, N, 3, 1, H, W)."""
        frames = rearrange(x, "b n c 1 h w -> (b n) c h w")
        logits = torch.cat([self._logits(part) for part in frames.split(IMAGES_PER_PASS)])
        return rearrange(logits, "(b n) l -> b n l", b=len(x))

    def _logits(self, frames: Tensor) -> Tensor:
        images = list(pad_to_square(frames) if self.square else frames)
        # Frames of the same size give prompts of the same length: there is no padding, and the last position is a real
        # token.
        inputs = self.processor(images=images, text=[self.prompt] * len(images), return_tensors="pt")
        inputs = inputs.to(frames.device)
        # The network's own precision, not the trainer's: trained parts are float32, and the base is bfloat16.
        with torch.autocast(frames.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            last = self.network(**inputs, use_cache=False).last_hidden_state[:, -1].float()
        with torch.autocast(frames.device.type, enabled=False):
            logits: Tensor = last @ self.level_rows.T
        return logits


def asked(processor: Any, question: str) -> str:
    """Return a conversation with a picture and `question`, up to the answer.

    Raises:
        ValueError: If the model's folder has no chat template.
    """
    if not getattr(processor, "chat_template", None):
        raise ValueError(
            "`question` is given, but this model's folder has no chat template; put the whole conversation into "
            "`prompt`."
        )
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    conversation: str = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    return conversation


def checked_prompt(prompt: str, image: str) -> str:
    """Return `prompt`.

    Raises:
        ValueError: If the model's image token does not occur exactly once in it.
    """
    if prompt.count(image) != 1:
        raise ValueError(
            f"`prompt` holds {image!r} {prompt.count(image)} times; expected this model's image token once, where the "
            "frame goes."
        )
    return prompt


def _folder(name: str) -> Path:
    """Return the folder of a model, in `checkpoints/` or elsewhere."""
    return resolve(f"{name}/config.json").parent
