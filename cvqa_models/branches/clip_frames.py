"""Content of single frames: CLIP's image embedding without positions (COVER's semantic branch)."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.clip_tower import ClipTower
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

FRAMES_PER_PASS = 1  # a frame has 1296 patches; more frames at once take more memory and are not faster

# On the scale 0 to 255; COVER rounds CLIP's constants to these.
MEAN = (122.77, 116.75, 104.09)
STD = (68.50, 66.63, 70.32)


def default_view(num_clips: int = 20, *, random: bool = False) -> View:
    """Return COVER's view: one frame from each of `num_clips` equal parts of the video, resized to 512 x 512.

    The stride is that of COVER's other branches, which take two frames; here it only limits a random draw.
    """
    return View(UniformClips(num_clips, 1, 2, random), Resize(512, 512))


class ClipFrames(Branch):
    """Tokens of single frames: CLIP's image embedding of unit length, without positional embedding.

    He et al., "COVER", CVPRW 2024. The frame is resized to a square; its aspect ratio is not kept. Without positions,
    the tower can take more patches than it was trained with, and does not know how they are arranged.

    Args:
        weights: File or name of OpenAI's CLIP in open_clip's layout; null for an untrained network.
        view: Single frames to see; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Frames per video if no `view` is given; null for 20.
        width: Width of a token inside the tower.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        dim: Width of the embedding.
        frozen: Whether the weights are fixed, as in COVER.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        width: int = 1024,
        depth: int = 24,
        heads: int = 16,
        patch: int = 14,
        dim: int = 768,
        frozen: bool = True,
    ) -> None:
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen))
        super().__init__(view, dim, frozen=frozen)
        weights = self.sources.take("net", weights, trained=not frozen)
        # The network gets no storage until the file gives it, so its 1.2 GB never exist twice.
        with nullcontext() if weights is None else torch.device("meta"):
            self.net = ClipTower(width=width, depth=depth, heads=heads, patch=patch, dim=dim, side=None)
        self.normalise = Normalise([value / 255 for value in MEAN], [value / 255 for value in STD])
        if weights is not None:
            load_exact(self.net, weights, prefix="visual.", unused=("positional_embedding",))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one embedding of unit length per frame, (B, N, `dim`), from `x` (B, N, 3, 1, H, W)."""
        return in_turns(self._embedded, x, FRAMES_PER_PASS)

    def _embedded(self, frames: Tensor) -> Tensor:
        return F.normalize(self.net(self.normalise(frames).squeeze(2)), dim=-1)
