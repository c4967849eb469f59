"""Compression damage at native resolution, by two networks that see the same patches."""

from __future__ import annotations

from functools import partial

from einops import rearrange
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_level import checked_patch, pretrained_key
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.compression_damage import CompressionDamageNet
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 6, *, random: bool = False) -> View:
    """Return our view: pairs of frames, spread over the video, and a grid of 2 x 3 native patches of each frame."""
    return View(UniformClips(num_clips, 2, random=random), NativePatches((2, 3), 160, random))


class CompressionDamage(Branch):
    """Tokens of compression damage: those of `CompressionLevel` and `EfficientNetLiteStats` side by side (ours).

    Args:
        weights: File or name of trained weights of both, such as `compression_damage`, which ships with the project.
        pair: Weights for the first network, as for `CompressionLevel`, if there are none of both; null for untrained.
        still: Weights for the second, as `cvqa export` writes those of `EfficientNetLiteStats`; null for untrained.
        view: Pairs of frames, cut into patches; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Pairs of frames per video if no `view` is given; null for 6.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If `view` gives no patches, or `weights` stand beside `pair` or `still`.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        pair: str | None = None,
        still: str | None = None,
        view: View | None = None,
        num_clips: int | None = None,
        frozen: bool = False,
    ) -> None:
        if weights is not None and (pair or still) is not None:
            raise ValueError("`weights` hold both networks; leave `pair` and `still` out.")
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen))
        patch, net = checked_patch(view, None), CompressionDamageNet()
        super().__init__(view, net.dim, frozen=frozen)
        self.patch, self.net = patch, net
        parts: dict[str, tuple[str | None, nn.Module]] = {"net": (weights, net)}
        if weights is None:
            parts = {"pair": (pair, net.pair), "still": (still, net.still)}
        for name, (file, part) in parts.items():
            known = self.sources.take(name, file, trained=not frozen)
            if known is not None:
                load_exact(part, known, rename=pretrained_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per clip, shape (B, N, D), from `x` of shape (B, N, C, 2, H, W)."""
        patches = rearrange(x, "b n c t (i p) (j q) -> b n (i j) c t p q", p=self.patch, q=self.patch)
        return in_turns(self.net, patches, None if self.training else 1)
