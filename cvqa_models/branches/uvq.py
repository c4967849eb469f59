"""What frames show and how they are distorted, by UVQ 1.5's two networks."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_chunks
from cvqa_models.nn.uvq import CHANNELS, SIDE, UvqTrunk, content_map, distortion_map
from cvqa_models.video.dense import OfficialSeconds
from cvqa_models.video.frames import KeyFrames, Sampling
from cvqa_models.video.pixels import Resize
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class _UvqMaps(Branch):
    """A pooled map of key frames, 128 channels x 4 x 4, as one token each; the two networks differ in `_maps` alone."""

    def __init__(
        self,
        weights: str | None = None,
        *,
        num_frames: int = 8,
        height: int = 1080,
        width: int = 1920,
        sampling: Sampling = "even",
        shrink: int = 1,
        frozen: bool = True,
    ) -> None:
        frames = OfficialSeconds(num_frames) if sampling == "official" else KeyFrames(num_frames)
        view = View(frames, Resize(height, width, "bicubic"))
        super().__init__(view, CHANNELS * SIDE * SIDE, frozen=frozen)
        self.normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.net = UvqTrunk(shrink=shrink)
        if weights is not None:
            load_exact(self.net, weights)

    @abstractmethod
    def _maps(self, pictures: Tensor) -> Tensor:
        """Return the pooled maps, (M, 128, 4, 4), of pictures in [-1, 1], (M, 3, H, W)."""

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N, 2048), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_chunks(lambda frames: self._maps(self.normalise(frames).squeeze(2)).flatten(1), x, 1)


class UvqContent(_UvqMaps):
    """Tokens of key frames: UVQ 1.5's content map, pooled to 128 channels x 4 x 4, flattened.

    google/uvq, folder `uvq1p5_pytorch`. The frame is resized to 1920 x 1080 whatever its shape, as there, and then to
    256 x 256 without a low-pass filter.

    Args:
        weights: File or name of `content_net.pth`; null for an untrained network.
        num_frames: Key frames per video.
        height: Lines to which frames are resized.
        width: Columns, likewise.
        sampling: `official` takes the frames that UVQ's program gets from ffmpeg, as many as there are seconds.
        shrink: Divides the network's widths, for a tiny one.
        frozen: Whether the weights are fixed.
    """

    def _maps(self, pictures: Tensor) -> Tensor:
        return content_map(self.net, pictures)


class UvqDistortion(_UvqMaps):
    """Tokens of key frames: UVQ 1.5's distortion maps of 3 x 3 patches, pooled to 128 channels x 4 x 4, flattened.

    Args:
        weights: File or name of `distortion_net.pth`; null for an untrained network.
        num_frames: Key frames per video.
        height: Lines to which frames are resized; divides by 3.
        width: Columns, likewise.
        sampling: As for `UvqContent`.
        shrink: Divides the network's widths, for a tiny one.
        frozen: Whether the weights are fixed.
    """

    def _maps(self, pictures: Tensor) -> Tensor:
        return distortion_map(self.net, pictures)
