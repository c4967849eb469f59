"""Q-Align on our own mPLUG-Owl2: frozen features of key frames, and scores over level words that can be trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.views import chosen_view, whole_key_frame_view
from cvqa_models.extras import check_installed
from cvqa_models.nn.lmm.levels import Encode, level_tokens, word_tokenizer
from cvqa_models.nn.lmm.lora import Lora, adapt, trained_in_float32
from cvqa_models.nn.lmm.mplug_owl2 import MplugOwl2, MplugOwl2Config
from cvqa_models.nn.lmm.square import MEAN, STD, local_crops, square
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read
from cvqa_models.weights.sources import to_read

Dtype = Literal["float32", "bfloat16", "float16"]

IMAGE = "<|image|>"
# The prompts of Q-Align's evaluation scripts (a space before ASSISTANT) and of its scorer class (a line break).
FEATURE_PROMPT = f"USER: How would you rate the quality of this image?\n{IMAGE} ASSISTANT: The quality of the image is"
SCORE_PROMPT = f"USER: How would you rate the quality of this image?\n{IMAGE}\nASSISTANT: The quality of the image is"
LEVELS = ("excellent", "good", "fair", "poor", "bad")
# Queries and image values of the decoder: the linear layers that Q-Align's own LoRA recipe adapts.
LORA_TARGETS = r"model\.layers\.\d+\.self_attn\.(q_proj|v_proj\.multiway\.1)"
IMAGES_PER_PASS = 16


class QAlign(Branch):
    """Frozen hidden states of Q-Align, one vector of width 4096 per key frame.

    With the defaults these are Compression-RQ-VQA's features: the frame at native size is cut into an upper and a lower
    half, each padded to a square of 448; a token is the mean over both halves and all text and image positions. Its
    authors ran the network in 8-bit integers; here `dtype` decides. For TVQA take `halves: false, pool: last`: the
    state that predicts the level word (its paper only says "Q-Align features" of frames).

    Args:
        weights: Folder of a public checkpoint (`one-align`): config.json, shards and the LLaMA-2 tokenizer.json; null
            for an untrained network.
        config: Sizes of the untrained network; a checkpoint has its sizes in its config.json.
        view: Single frames, such as Compression-RQ-VQA's `OfficialKeyFrames`; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        halves: Whether a frame is seen as two halves, as in Compression-RQ-VQA, or whole.
        pool: Mean over all positions, or only the last position.
        prompt: Text that the network reads, with the place of the image in it.
        dtype: Type of weights and arithmetic.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        config: MplugOwl2Config | None = None,
        view: View | None = None,
        num_clips: int | None = None,
        halves: bool = True,
        pool: Literal["mean", "last"] = "mean",
        prompt: str = FEATURE_PROMPT,
        dtype: Dtype = "bfloat16",
    ) -> None:
        network, encode = _load(to_read(weights, trained=False), config, [prompt], dtype)
        variant = f"{'halves' if halves else 'whole'}-{pool}"
        view = chosen_view(view, num_clips, whole_key_frame_view)
        super().__init__(view, network.config.dim, frozen=True, variant=variant)
        self.sources.take("asker", weights, trained=False)
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

    Only the rows of the output layer that belong to level words are multiplied, and in float32: in half precision,
    scores that lie close together would become equal.

    Args:
        base: Folder of a public checkpoint (`one-align`), or null for an untrained network. It is not called `weights`,
            because our checkpoints hold only adapters and trained parts, and still need the base.
        config: Sizes of the untrained network.
        words: Level words, best first.
        prompt: Text that the network reads, up to the level word, with the place of the image in it.
        view: Single frames; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        local: Rows and columns of native-resolution crops that are shown in addition to the whole frame; null for none.
            In training they have random places in their cells, the same for videos with the same random views.
        lora: Adapters on the decoder, with the visual abstractor trained in full; null trains the whole network.
        frozen: Whether no part is trained; `lora` then has no effect.
        dtype: Type of frozen weights and of arithmetic; trained weights are stored in float32.
    """

    level_rows: Tensor

    def __init__(
        self,
        base: str | None = None,
        *,
        config: MplugOwl2Config | None = None,
        words: Sequence[str] = LEVELS,
        prompt: str = SCORE_PROMPT,
        view: View | None = None,
        num_clips: int | None = None,
        local: tuple[int, int] | None = None,
        lora: Lora | None = Lora(),  # noqa: B008 - frozen
        frozen: bool = False,
        dtype: Dtype = "bfloat16",
    ) -> None:
        network, encode = _load(to_read(base, trained=False), config, [prompt, *words], dtype)
        variant = f"local{local[0]}x{local[1]}" if local else ""
        view = chosen_view(view, num_clips, whole_key_frame_view)
        super().__init__(view, len(words), frozen=frozen, variant=variant)
        before, stem = split_prompt(prompt, IMAGE)
        stem, ids = level_tokens(encode, stem, words)
        self.sources.take("base", base, trained=False)  # base of adapters, or start of a training of the whole network
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
        """Yield the modules whose weights FSDP2 gathers one module at a time, inner modules first."""
        yield from self.asker.network.model.layers
        yield self.asker.network

    def tokens(self, x: Tensor) -> Tensor:
        """Return level logits per key frame, float32, (B, N, L), from frames (B, N, 3, 1, H, W)."""
        frames = rearrange(x, "b n c 1 h w -> (b n) c h w")
        parts = zip(frames.split(IMAGES_PER_PASS), self._places(x.shape[1], len(frames)), strict=True)
        logits = torch.cat([self._logits(part, places) for part, places in parts])
        return rearrange(logits, "(b n) l -> b n l", b=len(x))

    def _places(self, frames: int, total: int) -> Sequence[Tensor | None]:
        """Return the places of local crops, per pass over `total` frames; each video has `frames` frames."""
        generators = self.generators()
        if self.local is None or generators is None:
            return [None] * -(-total // IMAGES_PER_PASS)
        shape = (frames, self.local[0] * self.local[1], 2)
        places = torch.cat([torch.rand(shape, generator=generator) for generator in generators])
        return list(places.split(IMAGES_PER_PASS))

    def _logits(self, frames: Tensor, places: Tensor | None) -> Tensor:
        images = square(frames, self.asker.side)[:, None]
        if self.local is not None:
            crops = local_crops(frames, self.local, self.asker.side, places)
            images = torch.cat([images, crops], dim=1)
        last = self.asker(images)[:, -1].float()
        with torch.autocast(last.device.type, enabled=False):
            logits: Tensor = last @ self.level_rows.T
        return logits


class _Asker(nn.Module):
    """The network with a fixed question: images in, hidden states of the prompt out."""

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
        # The official code encodes the two texts separately and drops the second start token. Texts and level rows are
        # buffers, so they are part of the digest that names cached features.
        for name, ids in (("before", encode("<s>") + encode(before)), ("after", encode(after))):
            self.register_buffer(name, torch.tensor(ids), persistent=False)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return final-norm hidden states, (M, T, D), of uint8 `images` (M, K, 3, S, S): K in one image slot."""
        pixels = (images.float() / 255 - self.mean) / self.std
        # The network's own precision, not the trainer's: trained parts are float32, and the base is bfloat16.
        with torch.autocast(images.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            return self.network(self.before, pixels, self.after)  # type: ignore[no-any-return]


def split_prompt(prompt: str, image: str) -> tuple[str, str]:
    """Return the texts before and after the place of `image` in `prompt`.

    Raises:
        ValueError: If `image` does not occur exactly once.
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
        ValueError: If `config` contradicts the folder or has too small a vocabulary, the tensors do not fit, or a
            package is not installed.
    """
    check_installed("tokenizers", what="A language model")
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
    with torch.device("meta"):  # saves the time for random values that would be overwritten
        network = MplugOwl2(MplugOwl2Config.read(path)).to(dtype)
    tensors = {key: tensor for shard in shards for key, tensor in read(shard).items()}
    network.to_empty(device="cpu")
    # Older versions of transformers stored the rotary frequencies; they can be computed from the sizes.
    load_exact(network, tensors, rename=lambda key: None if key.endswith("rotary_emb.inv_freq") else key)
    return network
