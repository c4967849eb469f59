"""Content and distortion of frames, by UVQ 1.5's two networks."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.uvq import CHANNELS, SIDE, UvqTrunk, content_map, distortion_map
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 8) -> View:
    """Return the view of both branches: key frames, resized to 1920 x 1080 as in UVQ."""
    return View(KeyFrames(num_clips), Resize(1080, 1920, "bicubic"))


class _UvqMaps(Branch):
    """Key frames as tokens: a token is a pooled map, 128 channels x 4 x 4. The two networks differ only in `_maps`."""

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        shrink: int = 1,
        frozen: bool = True,
    ) -> None:
        super().__init__(chosen_view(view, num_clips, default_view), CHANNELS * SIDE * SIDE, frozen=frozen)
        self.normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.net = UvqTrunk(shrink=shrink)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights)

    @abstractmethod
    def _maps(self, pictures: Tensor) -> Tensor:
        """Return the pooled maps, (M, 128, 4, 4), of pictures in [-1, 1], (M, 3, H, W)."""

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N, 2048), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_turns(lambda frames: self._maps(self.normalise(frames).squeeze(2)).flatten(1), x, 1)


class UvqContent(_UvqMaps):
    """Tokens of key frames: UVQ 1.5's content map, pooled to 128 channels x 4 x 4, flattened.

    google/uvq, folder `uvq1p5_pytorch`. As there, the frame is resized to 1920 x 1080, whatever its aspect ratio, and
    then to 256 x 256 without a low-pass filter.

    Args:
        weights: File or name of `content_net.pth`; null for an untrained network.
        view: Single frames; null for `default_view`. `OfficialSeconds` takes the frames that UVQ's program gets from
            ffmpeg.
        num_clips: Key frames per video if no `view` is given; null for 8.
        shrink: Divides the network's widths, for a tiny one.
        frozen: Whether the weights are fixed.
    """

    def _maps(self, pictures: Tensor) -> Tensor:
        return content_map(self.net, pictures)


class UvqDistortion(_UvqMaps):
    """Tokens of key frames: UVQ 1.5's distortion maps of 3 x 3 patches, pooled to 128 channels x 4 x 4, flattened.

    Args:
        weights: File or name of `distortion_net.pth`; null for an untrained network.
        view: As for `UvqContent`.
        num_clips: As for `UvqContent`.
        shrink: Divides the network's widths, for a tiny one.
        frozen: Whether the weights are fixed.
    """

    def _maps(self, pictures: Tensor) -> Tensor:
        return distortion_map(self.net, pictures)
