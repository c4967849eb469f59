"""Quality of whole frames: ConvNeXt over clips of resized frames (COVER, DOVER; both parts of DOVER-Mobile)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.convnext3d import ConvNeXt3D, inflate
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.spliced import Spliced
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read

_CLASSIFIER = ("head.weight", "head.bias")  # the classifier of ImageNet; DOVER-Mobile's file still holds it


def default_view(num_clips: int = 20, *, random: bool = False) -> View:
    """Return COVER's view: `num_clips` runs of two frames, one frame apart, joined to a clip, resized to 224 x 224."""
    return View(Spliced(UniformClips(num_clips, 2, 2, random)), Resize(224, 224))


class ConvNeXt3DMap(Branch):
    """Tokens of maps: one per moment, row and column, of frames resized to a square.

    A moment is two frames of a clip. Token (moment * rows + row) * columns + column belongs to a square of 32 pixels;
    the moments of all clips follow each other. With `default_view`, which is COVER's, each moment is a run of two
    frames from one of `num_clips` equal parts of the video.

    Args:
        weights: File or name of a COVER or DOVER checkpoint, or of an image ConvNeXt under its authors' key names,
            which is inflated over time; null for an untrained network.
        view: Clips of an even number of frames; null for `default_view`, which is random in training if not `frozen`.
        num_clips: Moments per video if no `view` is given; null for 20.
        depths: Blocks per stage.
        dims: Channels per stage.
        response_norm: Whether blocks have DOVER-Mobile's norm; see `OfficialResponseNorm`.
        part: Which network of the checkpoint; DOVER-Mobile has two of this kind.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        depths: tuple[int, ...] = (3, 3, 9, 3),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        response_norm: bool = False,
        part: Literal["technical", "aesthetic"] = "aesthetic",
        frozen: bool = False,
    ) -> None:
        if part not in ("technical", "aesthetic"):
            raise ValueError(f"`part` is {part!r}; expected 'technical' or 'aesthetic'.")
        view = chosen_view(view, num_clips, partial(default_view, random=not frozen), multiple_of=2)
        super().__init__(view, dims[-1], frozen=frozen)
        self.net = ConvNeXt3D(depths=depths, dims=dims, response_norm=response_norm)
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            self._load(read(resolve(weights)), f"{part}_backbone.")

    def _load(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        if any(key.startswith(prefix) for key in tensors):
            load_exact(self.net, tensors, prefix=prefix, unused=_CLASSIFIER)
        else:
            load_exact(self.net, inflate(tensors, self.net), unused=_CLASSIFIER)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the maps, (B, moments * rows * columns, D), from `x` (B, N, 3, T, H, W), one clip at a time."""
        return in_turns(self._map, x, 1).view(len(x), -1, self.dim)

    def _map(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.net(self.normalise(clips))
        return maps.flatten(2).transpose(1, 2)
