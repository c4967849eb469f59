"""How well a frame fits each of 495 sentences about scene, distortion and quality (LIQE)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view, whole_key_frame_view
from cvqa_models.nn.clip_tower import ClipTower
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read

QUALITIES = ("bad", "poor", "fair", "good", "perfect")
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
DISTORTIONS = (
    "jpeg2000 compression", "jpeg compression", "noise", "blur", "color", "contrast", "overexposure", "underexposure",
    "spatial", "quantization", "other",
)  # fmt: skip
# The published weights were trained with this wording, even with "a animal"; the distortion changes fastest.
PROMPTS = tuple(
    f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
    for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
)

TEXT_MODEL = "ViT-B-32-quickgelu"  # the name without "quickgelu" has another activation

STEP = 32
WINDOWS = 15  # per frame


class Liqe(Branch):
    """Tokens of key frames: the mean logit of each of 495 sentences over 15 windows of the frame.

    Zhang et al., "Blind Image Quality Assessment via Vision-Language Correspondence", CVPR 2023, as RQ-VQA uses it:
    native size, no softmax. The embeddings of the sentences are computed once; then the text tower is removed.

    Args:
        weights: File of the published LIQE.pt, both towers of a CLIP ViT-B/32; null for an untrained image tower and
            random unit vectors in place of the sentences.
        view: Single frames; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        window: Side of a window in pixels.
        width: Width of a token inside the image tower.
        depth: Transformer blocks of the image tower.
        heads: Attention heads of the image tower.
        frozen: Whether the weights are fixed.
    """

    sentences: Tensor

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        window: int = 224,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        frozen: bool = True,
    ) -> None:
        super().__init__(chosen_view(view, num_clips, whole_key_frame_view), len(PROMPTS), frozen=frozen)
        self.window = window
        self.net = ClipTower(width=width, depth=depth, heads=heads, patch=32, dim=512, side=window)
        self.logit_scale = nn.Parameter(torch.tensor(100.0).log())
        self.normalise = Normalise(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
        self.register_buffer("sentences", F.normalize(torch.randn(len(PROMPTS), 512), dim=-1))
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            self.fill(read(resolve(weights)))

    def fill(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a CLIP with both towers, with OpenAI's key names, and embed the sentences with them."""
        load_exact(self.net, state, prefix="visual.")
        text = {key: tensor for key, tensor in state.items() if not key.startswith("visual.")}
        with torch.no_grad():
            self.logit_scale.copy_(state["logit_scale"])
            self.sentences.copy_(embed_prompts(text))

    def tokens(self, x: Tensor) -> Tensor:
        """Return the mean logits of each key frame, (B, N, 495), from `x` (B, N, 3, 1, H, W).

        Raises:
            ValueError: If a frame is smaller than a window.
        """
        places = window_places(x.shape[4], x.shape[5], self.window)
        return in_turns(partial(self._logits, places), x, 1)

    def _logits(self, places: list[tuple[int, int]], frames: Tensor) -> Tensor:
        windows = torch.stack([frames[..., y : y + self.window, x : x + self.window] for y, x in places], dim=1)
        embedding = F.normalize(self.net(self.normalise(windows.flatten(0, 1)).squeeze(2)), dim=-1)
        # The mean of the logits of all windows is the logit of the mean of their embeddings.
        mean = embedding.unflatten(0, windows.shape[:2]).mean(dim=1)
        logits: Tensor = self.logit_scale.exp() * mean @ self.sentences.T
        return logits


def window_places(height: int, width: int, window: int = 224) -> list[tuple[int, int]]:
    """Return top and left of the 15 windows that LIQE takes from a frame: every (n // 15)th of n, in reading order.

    If there are fewer than 15 windows, the first is taken 15 times, as in the published code.

    Raises:
        ValueError: If the frame is smaller than a window.
    """
    if min(height, width) < window:
        raise ValueError(
            f"A frame of {width}x{height} is smaller than LIQE's window; expected at least {window} a side. "
            "Leave the branch out, or scale the videos up."
        )
    rows, columns = ((side - window) // STEP + 1 for side in (height, width))
    step = rows * columns // WINDOWS
    return [(STEP * (index // columns), STEP * (index % columns)) for index in (k * step for k in range(WINDOWS))]


def embed_prompts(text: Mapping[str, Tensor]) -> Tensor:
    """Return the embedding of each of `PROMPTS`, of unit length, (495, 512), from the text tower of a CLIP ViT-B/32."""
    tower = open_clip.CLIP(**open_clip.get_model_config(TEXT_MODEL))
    del tower.visual
    load_exact(tower, text)
    tokens = open_clip.get_tokenizer(TEXT_MODEL)(list(PROMPTS))
    # Attention only looks back, so positions after the longest sentence are left out; this takes a third of the time.
    longest = int(tokens.argmax(dim=1).max()) + 1
    tower.positional_embedding = nn.Parameter(tower.positional_embedding[:longest])
    tower.attn_mask = tower.attn_mask[:longest, :longest]
    embedding: Tensor = tower.encode_text(tokens[:, :longest], normalize=True)
    return embedding
