"""What a frame shows, and how unevenly: ResNet-50 statistics of whole frames (VSFA)."""

from __future__ import annotations

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_chunks
from cvqa_models.branches.timm import classifier_keys, pretrained_record
from cvqa_models.nn.spatial_stats import mean_std
from cvqa_models.video.dense import EveryFrame
from cvqa_models.video.frames import Sampling
from cvqa_models.video.pixels import Native, Resize
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact


class ResNet50Stats(Branch):
    """Tokens of single frames: mean and unbiased deviation over space of the last map, 4096 numbers; always frozen.

    Li, Jiang and Jiang, "Quality assessment of in-the-wild videos", 2019, section 3.1.

    Args:
        weights: File or name of ImageNet weights (torchvision's key names are timm's); null for an untrained network.
            The authors used torchvision's first set, which is `timm/resnet50.tv_in1k`.
        name: Residual network of timm; the authors' is `resnet50`.
        num_frames: Frames per video, spread evenly.
        size: Height and width to which frames are scaled; null keeps their own, as the authors do, and then only videos
            of one size share a batch.
        sampling: `official` takes every frame of the video, so that only videos of equal length share a batch.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        name: str = "resnet50",
        num_frames: int = 128,
        size: tuple[int, int] | None = None,
        sampling: Sampling = "even",
    ) -> None:
        record = pretrained_record(name)  # refuses addresses and folders, which timm takes for names too
        net = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        view = View(EveryFrame(num_frames, sampling), Native() if size is None else Resize(*size))
        super().__init__(view, 2 * net.num_features, frozen=True, variant=name)
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = net
        if weights is not None:
            load_exact(net, weights, unused=classifier_keys(record))

    def tokens(self, x: Tensor) -> Tensor:
        """Return mean | deviation of each frame, shape (B, N, 4096), from `x` of shape (B, N, 3, 1, H, W)."""
        # One at a time: a 1080p frame fills the processor, and takes 133 MB in each of the first stage's maps.
        return in_chunks(self._describe, x, 1)

    def _describe(self, frames: Tensor) -> Tensor:
        return torch.cat(mean_std(self.net(self.normalise(frames).squeeze(2))), dim=1)
