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
from cvqa_models.nn.levels import level_tokens
from cvqa_models.nn.llava import IMAGE, LlavaSizes, from_original_layout, read_pretrained, untrained_llava
from cvqa_models.nn.lora import Lora, adapt, trained_in_float32
from cvqa_models.nn.square import pad_to_square
from cvqa_models.video.frames import KeyFrames, Sampling
from cvqa_models.video.pixels import Native
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact, read, resolve

# The conversation that LLaVA-1.5 was tuned on, with Q-Align's question and stem.
PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    f"and polite answers to the human's questions. USER: {IMAGE}\nHow would you rate the quality of this image? "
    "ASSISTANT: The quality of the image is"
)
TEXT_STACKS = ("language_model", "text_model")
VISION_TOWERS = ("vision_tower", "vision_model", "visual")
# Anchored at the text stack: a plain "q_proj" would adapt the vision tower as well.
LORA_TARGETS = rf"({'|'.join(TEXT_STACKS)})\..*\.(q|k|v|o|gate|up|down)_proj"


class LmmLevels(Branch):
    """Level logits of a vision-language model, float32, one row per key frame: L numbers whose softmax are levels.

    Any `AutoModelForImageTextToText` serves: LLaVA, LLaVA-OneVision, Qwen-VL, InternVL, SmolVLM. The output layer is
    left out but for the rows of the level words, which are multiplied in float32.

    Args:
        base: Folder of a model in transformers' layout, or a folder's name under `checkpoints/`; null for an
            untrained LLaVA. It is not called `weights`, since a checkpoint of ours holds adapters and trained parts
            alone and still needs it.
        tuned: Folder with the same LLaVA, tuned further, in its authors' layout (Q-Instruct's); replaces `base`'s
            tensors.
        untrained: Sizes of the untrained network, in the words of transformers' `LlavaConfig`; LLaVA-1.5-7B's by
            default.
        words: Level words, best first.
        prompt: What the model reads, up to the level word, with its own token for an image in it.
        square: Whether frames are padded to squares, as LLaVA-1.5 wants it; models of dynamic resolution (Qwen-VL,
            InternVL) want the frame as it is.
        count: Key frames, one a second.
        sampling: `official` takes the first `count` seconds; `even` spreads the key frames over the video.
        lora: Adapters on the text stack, with the projector trained in full; null trains the whole network.
        frozen: Whether nothing trains; `lora` has no effect then.
        dtype: Type of frozen weights and of arithmetic; what trains is stored in float32.
    """

    level_rows: Tensor

    def __init__(
        self,
        base: str | None = None,
        *,
        tuned: str | None = None,
        untrained: LlavaSizes | None = None,
        words: Sequence[str] = LEVELS,
        prompt: str = PROMPT,
        square: bool = True,
        count: int = 8,
        sampling: Sampling = "even",
        lora: Lora | None = Lora(),  # noqa: B008 - frozen
        frozen: bool = False,
        dtype: Dtype = "bfloat16",
    ) -> None:
        variant = "square" if square else ""
        super().__init__(View(KeyFrames(count, sampling), Native()), len(words), frozen=frozen, variant=variant)
        self.dtype = getattr(torch, dtype)
        network, self.processor = self._build(base, tuned, untrained, [prompt, *words])
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
        self, base: str | None, tuned: str | None, untrained: LlavaSizes | None, texts: Sequence[str]
    ) -> tuple[nn.Module, Any]:
        if base is None:
            network, processor = untrained_llava(untrained or {}, texts)
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
        # Activations of all layers fit beside no 7B weights. transformers 5 renamed the switch on its way.
        switches = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        enable = next(getattr(self.network, name) for name in switches if hasattr(self.network, name))
        enable({"use_reentrant": False})

    @property
    def sharded(self) -> Iterator[nn.Module]:
        """Yield the modules whose weights FSDP2 gathers one at a time, inner ones first."""
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
        # Frames of one size give prompts of one length, so that there is no padding and the last position is real.
        inputs = self.processor(images=images, text=[self.prompt] * len(images), return_tensors="pt")
        inputs = inputs.to(frames.device)
        # The network's own precision, whatever the trainer's: trained parts are float32 beside a bfloat16 base.
        with torch.autocast(frames.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            last = self.network(**inputs, use_cache=False).last_hidden_state[:, -1].float()
        with torch.autocast(frames.device.type, enabled=False):
            logits: Tensor = last @ self.level_rows.T
        return logits


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
    """Return the folder of a model, in `checkpoints/` or anywhere."""
    return resolve(f"{name}/config.json").parent
