"""Mean and deviation of ResNet-50's features over a whole frame (VSFA)."""

from __future__ import annotations

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.timm import classifier_keys, pretrained_record
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.spatial_stats import mean_std, mean_std_without_each
from cvqa_models.video.dense import SpreadFrames
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact


def default_view(num_clips: int = 128) -> View:
    """Return our view: frames spread evenly over the video, in its own size. The authors see every frame, in that size.

    Only videos of the same size can share a batch then.
    """
    return View(SpreadFrames(num_clips), Native())


class ResNet50Stats(Branch):
    """Tokens of single frames: mean and unbiased deviation over space of the last map, 4096 numbers; always frozen.

    Li, Jiang and Jiang, "Quality assessment of in-the-wild videos", 2019, section 3.1.

    Args:
        weights: File or name of ImageNet weights (torchvision's key names are timm's); null for an untrained network.
            The authors used torchvision's first set, which is `timm/resnet50.tv_in1k`.
        name: Residual network of timm; the authors use `resnet50`.
        view: Single frames; null for `default_view`. `OfficialEveryFrame` takes all frames, so only videos of equal
            length can share a batch.
        num_clips: Frames per video if no `view` is given; null for 128.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        name: str = "resnet50",
        view: View | None = None,
        num_clips: int | None = None,
    ) -> None:
        record = pretrained_record(name)  # refuses addresses and folders, which timm takes for names too
        net = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
        view = chosen_view(view, num_clips, default_view)
        super().__init__(view, 2 * net.num_features, frozen=True, variant=name)
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = net
        weights = self.sources.take("net", weights, trained=False)
        if weights is not None:
            load_exact(net, weights, unused=classifier_keys(record))

    def tokens(self, x: Tensor) -> Tensor:
        """Return mean | deviation of each frame, shape (B, N, 4096), from `x` of shape (B, N, 3, 1, H, W)."""
        # One frame at a time: a 1080p frame keeps all cores busy, and takes 133 MB in each map of the first stage.
        return in_turns(self._describe, x, 1)

    def tokens_without_each(self, x: Tensor) -> Tensor:
        """Return the token of a frame without one place of the last map, for each place: (H / 32, W / 32, 4096).

        Args:
            x: A frame, uint8, (3, 1, H, W).
        """
        maps = self.net(self.normalise(x)[None].squeeze(2))[0]
        return torch.cat(mean_std_without_each(maps)).permute(1, 2, 0)

    def _describe(self, frames: Tensor) -> Tensor:
        return torch.cat(mean_std(self.net(self.normalise(frames).squeeze(2))), dim=1)
