"""Compression damage at native resolution, by the compact network that this project trains itself."""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.compression_level import CompressionLevelNet
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments, NativePatches
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 8, *, random: bool = False) -> View:
    """Return our view: pairs of frames, spread over the video, and a grid of 3 x 4 native patches of each frame."""
    return View(UniformClips(num_clips, 2, random=random), NativePatches((3, 4), 112, random))


class CompressionLevel(Branch):
    """Tokens of compression damage: one per pair of consecutive frames, from a grid of native patches (ours).

    Args:
        weights: File or name of trained weights, such as `compression_level`, which ships with the project; null for
            an untrained network.
        width: Channels of the network's first stage; `dim` is six times that. The shipped network has 32.
        view: Pairs of frames, cut into patches; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Pairs of frames per video if no `view` is given; null for 8.
        window: Side of the part of each patch that training uses. In each step it is at another place, and randomly
            turned or mirrored; alike for videos with the same random views (`shared_views`), so that encodes still show
            the same content. Null uses the whole patch as it is. A window is useful because damage looks the same at
            any place and in any orientation, and decoded patches are used for many steps (`kept_draws`).
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If `view` gives no patches, or `window` is below 1 or larger than a patch.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        width: int = 32,
        view: View | None = None,
        num_clips: int | None = None,
        window: int | None = None,
        frozen: bool = False,
    ) -> None:
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen))
        patch = checked_patch(view, window)
        super().__init__(view, 6 * width, frozen=frozen)
        self.patch, self.window = patch, window
        self.net = CompressionLevelNet(width)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights, rename=pretrained_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per clip, shape (B, N, D), from `x` of shape (B, N, C, 2, H, W)."""
        patches = rearrange(x, "b n c t (i p) (j q) -> b n (i j) c t p q", p=self.patch, q=self.patch)
        patches = some_windows(patches, self.window, self.generators())
        return in_turns(self.net, patches, None if self.training else 1)


def checked_patch(view: View, window: int | None) -> int:
    """Return the side of a patch of a view, of which a branch may show windows in training.

    Raises:
        ValueError: If `view` gives no patches, or `window` is below 1 or larger than a patch.
    """
    if not isinstance(view.pixels, Fragments):
        raise ValueError(
            f"`view` shows frames in one piece (`{view.pixels.key}`), but this network sees patches; take "
            "`NativePatches` for its `pixels`."
        )
    patch = view.pixels.patch
    if window is not None and not 1 <= window <= patch:
        raise ValueError(f"`window` is {window}; expected 1 to {patch}, the size of a patch of the view, or null.")
    return patch


def some_windows(patches: Tensor, side: int | None, generators: list[torch.Generator] | None) -> Tensor:
    """Return a random square of each video's patches (B, ..., H, W); all of them without `side` or generators."""
    if generators is None or side is None:
        return patches
    return torch.stack([_some_window(video, side, own) for video, own in zip(patches, generators, strict=True)])


def _some_window(patches: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return the same random square of all patches (..., H, W), in one of eight orientations, (..., side, side)."""
    top, left = torch.randint(patches.shape[-1] - side + 1, (2,), generator=generator).tolist()
    mirror, turns = (int(torch.randint(number, (), generator=generator)) for number in (2, 4))
    square = patches[..., top : top + side, left : left + side]
    return torch.rot90(square.flip(-1) if mirror else square, turns, (-2, -1))


def pretrained_key(key: str) -> str | None:
    """Return the network's name of a key in a pre-trained model with the branch `level`; None for a key of its head."""
    return None if key.startswith("head.") else key.removeprefix("branches.level.net.")
