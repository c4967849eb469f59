"""Q-Align on our own mPLUG-Owl2: frozen features of key frames, and scores over level words that can be trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.nn.levels import Encode, level_tokens, word_tokenizer
from cvqa_models.nn.lora import Lora, adapt, trained_in_float32
from cvqa_models.nn.mplug_owl2 import MplugOwl2, MplugOwl2Config
from cvqa_models.nn.square import MEAN, STD, local_crops, square
from cvqa_models.video.frames import KeyFrames, Sampling
from cvqa_models.video.pixels import Native
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact, read, resolve

Dtype = Literal["float32", "bfloat16", "float16"]

IMAGE = "<|image|>"
# The wording of Q-Align's evaluation scripts (a space before ASSISTANT) and of its scorer class (a line break).
FEATURE_PROMPT = f"USER: How would you rate the quality of this image?\n{IMAGE} ASSISTANT: The quality of the image is"
SCORE_PROMPT = f"USER: How would you rate the quality of this image?\n{IMAGE}\nASSISTANT: The quality of the image is"
LEVELS = ("excellent", "good", "fair", "poor", "bad")
# Queries and image values of the decoder: the linear layers that Q-Align's own LoRA recipe adapts.
LORA_TARGETS = r"model\.layers\.\d+\.self_attn\.(q_proj|v_proj\.multiway\.1)"
IMAGES_PER_PASS = 16


class QAlign(Branch):
    """Frozen hidden states of Q-Align, one vector of width 4096 per key frame.

    With the defaults these are Compression-RQ-VQA's features: the frame at native size, cut into an upper and a lower
    half, each padded to a square of 448; the mean over both halves and all text and image positions. Its authors ran
    the network in 8 bit integers; here `dtype` rules. TVQA's reading is `halves: false, pool: last`: the state that
    predicts the level word (its paper only says Q-Align features of frames).

    Args:
        weights: Folder of a public checkpoint (`one-align`): config.json, shards and the LLaMA-2 tokenizer.json; null
            for an untrained network.
        config: Sizes of the untrained network; those of a checkpoint stand in its own config.json.
        count: Key frames, one a second.
        sampling: `official` takes the first `count` seconds, as Compression-RQ-VQA does; `even` spreads the key frames
            over the video.
        halves: Whether a frame is seen as two halves, as Compression-RQ-VQA does, or whole.
        pool: Mean over all positions, or the last position alone.
        prompt: What the network reads, with the image's place in it.
        dtype: Type of weights and arithmetic.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        config: MplugOwl2Config | None = None,
        count: int = 8,
        sampling: Sampling = "even",
        halves: bool = True,
        pool: Literal["mean", "last"] = "mean",
        prompt: str = FEATURE_PROMPT,
        dtype: Dtype = "bfloat16",
    ) -> None:
        network, encode = _load(weights, config, [prompt], dtype)
        variant = f"{'halves' if halves else 'whole'}-{pool}"
        super().__init__(View(KeyFrames(count, sampling), Native()), network.config.dim, frozen=True, variant=variant)
        self.asker = _Asker(network, encode, prompt)
        self.halves = halves
        self.pool = pool

    def tokens(self, x: Tensor) -> Tensor:
        """Return one vector per key frame, float32, (B, N, D), from frames (B, N, 3, 1, H, W)."""
        frames = rearrange(x, "b n c 1 h w -> (b n) c h w")
        states = torch.cat([self._states(part) for part in frames.split(IMAGES_PER_PASS)])
        return rearrange(states, "(b n) d -> b n d", b=len(x))

    def _states(self, frames: Tensor) -> Tensor:
        H = frames.shape[2]
        parts = [frames[:, :, : H // 2], frames[:, :, H // 2 :]] if self.halves else [frames]
        states = [self.asker(square(part, self.asker.side)[:, None]) for part in parts]
        pooled = [state[:, -1] if self.pool == "last" else state.float().mean(dim=1) for state in states]
        return torch.stack(pooled).float().mean(dim=0)


class QAlignLevels(Branch):
    """Level logits of Q-Align, float32, one row per key frame: L numbers whose softmax are level probabilities.

    Only the rows of the output layer that belong to level words are multiplied, in float32: in half precision the
    scores of a narrow band collapse onto few values.

    Args:
        base: Folder of a public checkpoint (`one-align`), or null for an untrained network. It is not called
            `weights`, since a checkpoint of ours holds adapters and trained parts alone and still needs it.
        config: Sizes of the untrained network.
        words: Level words, best first.
        prompt: What the network reads, up to the level word, with the image's place in it.
        count: Key frames, one a second.
        sampling: `official` takes the first `count` seconds; `even` spreads the key frames over the video.
        local: Rows and columns of native-resolution crops that are shown beside the whole frame; null for none.
        lora: Adapters on the decoder, with the visual abstractor trained in full; null trains the whole network.
        frozen: Whether nothing trains; `lora` has no effect then.
        dtype: Type of frozen weights and of arithmetic; what trains is stored in float32.
    """

    level_rows: Tensor

    def __init__(
        self,
        base: str | None = None,
        *,
        config: MplugOwl2Config | None = None,
        words: Sequence[str] = LEVELS,
        prompt: str = SCORE_PROMPT,
        count: int = 8,
        sampling: Sampling = "even",
        local: tuple[int, int] | None = None,
        lora: Lora | None = Lora(),  # noqa: B008 - frozen
        frozen: bool = False,
        dtype: Dtype = "bfloat16",
    ) -> None:
        network, encode = _load(base, config, [prompt, *words], dtype)
        variant = f"local{local[0]}x{local[1]}" if local else ""
        super().__init__(View(KeyFrames(count, sampling), Native()), len(words), frozen=frozen, variant=variant)
        before, stem = split_prompt(prompt, IMAGE)
        stem, ids = level_tokens(encode, stem, words)
        self.register_buffer("level_rows", network.lm_head.weight[ids].detach().float())
        self.asker = _Asker(network, encode, before + IMAGE + stem)
        self.dtype = self.asker.dtype
        self.local = local
        if not frozen:
            self._prepare_training(lora)

    def _prepare_training(self, lora: Lora | None) -> None:
        network = self.asker.network
        if lora is not None:
            adapt(network, lora, LORA_TARGETS)
            network.model.visual_abstractor.requires_grad_(True)
        network.lm_head.requires_grad_(False)  # only `level_rows` of it are used
        trained_in_float32(network)

    @property
    def sharded(self) -> Iterator[nn.Module]:
        """Yield the modules whose weights FSDP2 gathers one at a time, inner ones first."""
        yield from self.asker.network.model.layers
        yield self.asker.network

    def tokens(self, x: Tensor) -> Tensor:
        """Return level logits per key frame, float32, (B, N, L), from frames (B, N, 3, 1, H, W)."""
        frames = rearrange(x, "b n c 1 h w -> (b n) c h w")
        logits = torch.cat([self._logits(part) for part in frames.split(IMAGES_PER_PASS)])
        return rearrange(logits, "(b n) l -> b n l", b=len(x))

    def _logits(self, frames: Tensor) -> Tensor:
        images = square(frames, self.asker.side)[:, None]
        if self.local is not None:
            crops = local_crops(frames, self.local, self.asker.side, random=self.training)
            images = torch.cat([images, crops], dim=1)
        last = self.asker(images)[:, -1].float()
        with torch.autocast(last.device.type, enabled=False):
            logits: Tensor = last @ self.level_rows.T
        return logits


class _Asker(nn.Module):
    """The network with its one question: images in, hidden states of the prompt out."""

    mean: Tensor
    std: Tensor
    before: Tensor
    after: Tensor

    def __init__(self, network: MplugOwl2, encode: Encode, prompt: str) -> None:
        super().__init__()
        self.network = network
        self.side = network.config.image_size
        self.dtype = network.lm_head.weight.dtype
        before, after = split_prompt(prompt, IMAGE)
        # The official code encodes the two texts apart and drops the second start token. As buffers, texts and level
        # rows are part of the digest that names cached features.
        for name, ids in (("before", encode("<s>") + encode(before)), ("after", encode(after))):
            self.register_buffer(name, torch.tensor(ids), persistent=False)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return final-norm hidden states, (M, T, D), of uint8 `images` (M, K, 3, S, S): K in one image slot."""
        pixels = (images.float() / 255 - self.mean) / self.std
        # The network's own precision, whatever the trainer's: trained parts are float32 beside a bfloat16 base.
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.network(self.before, pixels, self.after)  # type: ignore[no-any-return]


def split_prompt(prompt: str, image: str) -> tuple[str, str]:
    """Return the texts ahead of and behind the one place of `image` in `prompt`.

    Raises:
        ValueError: If it does not occur exactly once.
    """
    if prompt.count(image) != 1:
        raise ValueError(
            f"`prompt` holds {image!r} {prompt.count(image)} times; expected it once, where the frame goes."
        )
    before, after = prompt.split(image)
    return before, after


def _load(
    folder: str | None, config: MplugOwl2Config | None, texts: Sequence[str], dtype: Dtype
) -> tuple[MplugOwl2, Encode]:
    """Return the network of a checkpoint's folder, or an untrained one, with a tokenizer that fits it.

    Raises:
        FileNotFoundError: If the folder lacks its config.json, tokenizer.json or shards.
        ValueError: If `config` contradicts the folder or has too small a vocabulary, or the tensors do not fit.
    """
    from tokenizers import Tokenizer

    if folder is None:
        config = config or MplugOwl2Config()
        tokenizer = word_tokenizer([text.replace(IMAGE, " ") for text in texts], ["<s>"])
        if tokenizer.get_vocab_size() > config.vocabulary:
            raise ValueError(
                f"`vocabulary` is {config.vocabulary}, but prompt and words need {tokenizer.get_vocab_size()}."
            )
        network = MplugOwl2(config).to(getattr(torch, dtype))
    else:
        if config is not None:
            raise ValueError(
                f"`config` is for an untrained network, but '{folder}' states its own sizes; leave one out."
            )
        tokenizer = Tokenizer.from_file(str(resolve(f"{folder}/tokenizer.json")))
        network = read_one_align(folder, getattr(torch, dtype))
    return network, lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def read_one_align(folder: str, dtype: torch.dtype) -> MplugOwl2:
    """Return the network of a public checkpoint, stored as `dtype`.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds no shards.
        ValueError: If the tensors are not exactly those of the network.
    """
    path = resolve(f"{folder}/config.json")
    shards = sorted(path.parent.glob("*.safetensors")) or sorted(path.parent.glob("pytorch_model*.bin"))
    if not shards:
        raise FileNotFoundError(
            f"'{path.parent}' holds no *.safetensors or pytorch_model*.bin; fetch the whole folder."
        )
    with torch.device("meta"):  # no time for random values that are overwritten at once
        network = MplugOwl2(MplugOwl2Config.read(path)).to(dtype)
    tensors = {key: tensor for shard in shards for key, tensor in read(shard).items()}
    network.to_empty(device="cpu")
    # Older versions of transformers stored the rotary frequencies, which follow from the sizes.
    load_exact(network, tensors, rename=lambda key: None if key.endswith("rotary_emb.inv_freq") else key)
    return network
