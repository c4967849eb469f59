"""Compression damage at native resolution, by the first stages of EfficientNet-Lite0."""

from __future__ import annotations

from functools import partial

from einops import rearrange
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_level import checked_patch, pretrained_key, some_windows
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.efficientnet_lite import EfficientNetLiteStages
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View
from cvqa_models.weights.exact import first_keys_in_order, load_exact
from cvqa_models.weights.files import brought_by_package


def default_view(num_clips: int = 8, *, random: bool = False) -> View:
    """Return our view: frames spread over the video, and a grid of 2 x 3 native patches of each."""
    return View(UniformClips(num_clips, 1, random=random), NativePatches((2, 3), 160, random))


class EfficientNetLiteStats(Branch):
    """Tokens of what an encoder left of a picture: statistics of the first stages of EfficientNet-Lite0 (ours).

    Each is the mean and the deviation of all channels after the stem and after each of five stages, over native
    patches of one frame.

    Args:
        weights: File of trained weights; `tf_efficientnet_lite0.in1k` for ImageNet's, which an installed package
            contains; null for an untrained network.
        view: Frames, cut into patches; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Frames per video if no `view` is given; null for 8.
        window: As for `CompressionLevel`.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If `view` gives no patches, or `window` is below 1 or larger than a patch.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        window: int | None = None,
        frozen: bool = False,
    ) -> None:
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen))
        patch = checked_patch(view, window)
        net = EfficientNetLiteStages()
        super().__init__(view, net.dim, frozen=frozen)
        self.patch, self.window = patch, window
        self.net = net
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            published = brought_by_package(weights)
            load_exact(net, weights, rename=first_keys_in_order(weights, net) if published else pretrained_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per clip, shape (B, N, D), from `x` of shape (B, N, C, T, H, W): from its first frame."""
        patches = rearrange(x, "b n c t (i p) (j q) -> b n (i j) c t p q", p=self.patch, q=self.patch)
        patches = some_windows(patches, self.window, self.generators())
        return in_turns(self.net, patches, None if self.training else 1)
