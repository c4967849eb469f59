"""Technical quality at native resolution: Swin3D over clips of fragments (COVER, DOVER, FAST-VQA)."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.swin3d import Size, Swin3D
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 20, *, random: bool = False) -> View:
    """Return COVER's view: `num_clips` runs of two frames, one frame apart, joined to one clip, of 7 x 7 fragments."""
    return View(Spliced(UniformClips(num_clips, 2, 2, random)), Fragments(random=random))


class Swin3DMap(Branch):
    """Tokens of maps: one per moment, row and column, of native patches spliced into a small frame.

    A moment is two frames of a clip. Token (moment * rows + row) * columns + column belongs to a square of 32 pixels;
    with the defaults that is one patch. The moments of all clips follow each other. With `default_view`, which is
    COVER's, each moment is a run of two frames from one of `num_clips` equal parts of the video.

    Args:
        weights: File or name of a COVER, DOVER or FAST-VQA checkpoint; null for an untrained network.
        view: Clips of an even number of frames; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Moments per video if no `view` is given; null for 20.
        width: Channels of the first stage.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        window: Largest attention window in tokens: time, rows, columns; (4, 4, 4) in FAST-VQA-M.
        fragment_bias: Whether pairs of tokens of the same fragment have their own bias; false in FAST-VQA-M.
        adaptive_window: Whether the window scales with the size of the clip: true in FAST-VQA, false in COVER and
            DOVER. For 32 x 224 x 224 both give the same.
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
        window: Size = (8, 7, 7),
        fragment_bias: bool = True,
        adaptive_window: bool = False,
        frozen: bool = False,
    ) -> None:
        net = Swin3D(
            dim=width,
            depths=depths,
            heads=heads,
            window=window,
            fragment_bias=fragment_bias,
            adaptive_window=adaptive_window,
        )
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen), multiple_of=2)
        super().__init__(view, net.dim, frozen=frozen)
        self.net = net
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights, prefix=("technical_backbone.", "fragments_backbone."))

    def tokens(self, x: Tensor) -> Tensor:
        """Return the maps, (B, moments * rows * columns, D), from `x` (B, N, 3, T, H, W), one clip at a time."""
        return in_turns(self._map, x, 1).view(len(x), -1, self.dim)

    def _map(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.net(self.normalise(clips))
        return maps.flatten(2).transpose(1, 2)
