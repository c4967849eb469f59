"""How a video looks as a whole: ConvNeXt over short runs of resized frames (COVER's aesthetic branch)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise
from cvqa_models.nn.convnext3d import ConvNeXt3D, inflate
from cvqa_models.video.frames import Sampling, UniformClips
from cvqa_models.video.pixels import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact, read, resolve

_PREFIX = "aesthetic_backbone."


class ConvNeXt3DMap(Branch):
    """Tokens of a map: one per moment, row and column, of frames resized to a square (COVER and DOVER).

    A moment is a run of two frames, one from each of as many equal parts of the video. Token
    (moment * rows + row) * columns + column belongs to a square of 32 pixels.

    Args:
        weights: File or name of a COVER or DOVER checkpoint, or of an image ConvNeXt under its authors' key names,
            which is inflated over time; null for an untrained network.
        num_moments: Moments per video.
        stride: Step between the two frames of a moment.
        size: Side of the resized frame in pixels.
        depths: Blocks per stage.
        dims: Channels per stage.
        sampling: `official` draws the moments at random also in evaluation, there with a seed per length of the video,
            other than those of COVER's other branches.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        num_moments: int = 20,
        stride: int = 2,
        size: int = 224,
        depths: tuple[int, ...] = (3, 3, 9, 3),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        sampling: Sampling = "even",
        frozen: bool = False,
    ) -> None:
        runs = UniformClips(num_moments, 2, stride, random=not frozen, sampling=sampling, seed=2)
        super().__init__(View(Spliced(runs), Resize(size, size)), dims[-1], frozen=frozen)
        self.net = ConvNeXt3D(depths=depths, dims=dims)
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        if weights is not None:
            self._load(read(resolve(weights)))

    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        if any(key.startswith(_PREFIX) for key in tensors):
            load_exact(self.net, tensors, prefix=_PREFIX)
        else:
            load_exact(self.net, inflate(tensors, self.net), unused=("head.weight", "head.bias"))

    def tokens(self, x: Tensor) -> Tensor:
        """Return the map of the one clip, (B, num_moments * rows * columns, D), from `x` (B, 1, 3, T, H, W)."""
        maps: Tensor = self.net(self.normalise(x.squeeze(1)))
        return maps.flatten(2).transpose(1, 2)
