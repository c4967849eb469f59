"""Technical quality at native resolution of longer clips: FAST-VQA's backbone."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.swin3d import Swin3D
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 4, *, random: bool = False) -> View:
    """Return FAST-VQA-B's view: clips of 32 frames, every other one, of 7 x 7 fragments of 32 x 32."""
    return View(UniformClips(num_clips, 32, 2, random), Fragments(random=random))


class FastVqa(Branch):
    """Tokens of clips of native patches spliced into a small frame: the mean of FAST-VQA's map over time and space.

    Wu et al., "FAST-VQA", ECCV 2022, in the setting FAST-VQA-B 1*4. The patches keep their places in all frames of a
    clip.

    Args:
        weights: File or name of a FAST-VQA checkpoint; null for an untrained network.
        view: Clips of an even number of frames; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Clips per video if no `view` is given; null for 4.
        width: Channels of the first stage.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        frozen: bool = True,
    ) -> None:
        net = Swin3D(dim=width, depths=depths, heads=heads, adaptive_window=True)
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen), multiple_of=2)
        super().__init__(view, net.dim, frozen=frozen)
        self.net = net
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights, prefix="fragments_backbone.")

    def tokens(self, x: Tensor) -> Tensor:
        """Return one vector per clip, (B, N, D), from `x` (B, N, 3, T, H, W), one clip at a time to save memory."""
        return in_turns(self._pooled, x, 1)

    def _pooled(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.net(self.normalise(clips))
        return maps.mean(dim=(2, 3, 4))
