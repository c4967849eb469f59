"""HVS-5M's spatial and motion features: what a viewer looks at, and how it moves (TVQA is built on them).

Zhang, Li, Zhou et al., "HVS Revisited: A Comprehensive Video Quality Assessment Framework", 2022 (HVS-5M). Both
branches see the same 32 of 64 consecutive frames at their own size. So one decode serves both, and token t of one
belongs to token t of the other.
"""

from __future__ import annotations

import re

import timm
import torch
from einops import rearrange
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise
from cvqa_models.branches.timm import classifier_keys, pretrained_record
from cvqa_models.branches.views import chosen_view
from cvqa_models.nn.canny import canny
from cvqa_models.nn.samnet import SamNet
from cvqa_models.nn.slowfast import SlowFastNet
from cvqa_models.nn.spatial_stats import mean_std
from cvqa_models.video.dense import MotionChunks
from cvqa_models.video.pixel_rules import Native
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

# One frame at a time: a 1080p frame takes 0.5 GB in the widest layer of ConvNeXt-XL.
PIXELS_PER_PASS = 1920 * 1080

CONVNEXT_RENAMES = (
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.pwconv(\d)\.", r".mlp.fc\1."),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.fc.\1"),
)

PYSLOWFAST_RENAMES = (
    (r"^s1\.pathway1_stem\.", "blocks.0.multipathway_blocks.1."),
    (r"^s2\.pathway1_res(\d)\.", r"blocks.1.multipathway_blocks.1.res_blocks.\1."),
    (r"^s3\.pathway1_res(\d)\.", r"blocks.2.multipathway_blocks.1.res_blocks.\1."),
    (r"^s4\.pathway1_res(\d)\.", r"blocks.3.multipathway_blocks.1.res_blocks.\1."),
    (r"^s5\.pathway1_res(\d)\.", r"blocks.4.multipathway_blocks.1.res_blocks.\1."),
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
    (r"\.bn\.", ".norm."),
)


def convnext_key(key: str) -> str:
    """Return timm's name of a key of the authors' ConvNeXt; timm's names stay as they are."""
    return _renamed(key, CONVNEXT_RENAMES)


def fast_pathway_key(key: str) -> str | None:
    """Return PyTorchVideo's name of a key of PySlowFast or PyTorchVideo; None for keys outside the fast pathway."""
    key = _renamed(key, PYSLOWFAST_RENAMES)
    return key if ".multipathway_blocks.1." in key else None


def _renamed(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        key = re.sub(pattern, replacement, key)
    return key


def saliency_weight(saliency: Tensor) -> Tensor:
    """Return attention weights, shape (M, 1, H // 32, W // 32), from saliency in (0, 1) of shape (M, 1, H, W).

    Weights are about 1.0 to 1.4 outside and 1.8 to 2.4 inside a salient region, so no region is masked out.
    """
    level = (255 * saliency).ceil()
    level = level + torch.where(level >= 100, 350, 250)
    size = [side // 32 for side in saliency.shape[2:]]
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False) / 255


def default_view(num_clips: int = 5) -> View:
    """Return the view of both branches, the authors': 32 frames of each chunk of 64, in the video's own size.

    Only videos of the same size can share a batch then.
    """
    return View(MotionChunks(num_clips), Native())


class HvsSpatial(Branch):
    """Tokens of single frames: content and edges as attention weighs them, 8192 numbers; always frozen.

    The frame and its Canny edges go through the same ConvNeXt, and both maps are weighted by the frame's saliency. The
    mean and the unbiased deviation over space of each map go through the network's final norm. Order of a token:
    content mean, content deviation, edge mean, edge deviation.

    Args:
        weights: File or name of ConvNeXt weights, with timm's or its authors' key names; null for an untrained network.
        saliency_weights: File or name of SAMNet weights; null for an untrained network.
        name: ConvNeXt of timm; the authors use `convnext_xlarge` with ImageNet-22k weights.
        view: Frames to see; null for `default_view`. If `HvsMotion` takes `OfficialMotionChunks`, take `MotionSteps` or
            `OfficialMotionSteps` here.
        num_clips: Chunks per video if no `view` is given; null for 5.
    """

    def __init__(
        self,
        weights: str | None = None,
        saliency_weights: str | None = None,
        *,
        name: str = "convnext_xlarge",
        view: View | None = None,
        num_clips: int | None = None,
    ) -> None:
        record = pretrained_record(name)  # refuses addresses and folders, which timm takes for names too
        net = timm.create_model(name, pretrained=False, num_classes=0)
        view = chosen_view(view, num_clips, default_view, multiple_of=1)
        super().__init__(view, 4 * net.num_features, frozen=True, variant=name)
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = net
        self.saliency = SamNet()
        weights = self.sources.take("net", weights, trained=False)
        saliency_weights = self.sources.take("saliency", saliency_weights, trained=False)
        if weights is not None:
            load_exact(self.net, weights, rename=convnext_key, unused=classifier_keys(record))
        if saliency_weights is not None:
            # The authors trained the network inside a DataParallel, and may have saved it so.
            load_exact(self.saliency, saliency_weights, rename=lambda key: key.removeprefix("module."))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N * T, D), from `x` of shape (B, N, 3, T, H, W)."""
        frames_per_pass = max(1, PIXELS_PER_PASS // (x.shape[-2] * x.shape[-1]))
        clips = rearrange(x, "b n c t h w -> (b n) t c 1 h w")
        # Clip by clip, so that the bits of a video do not depend on the batch.
        features = torch.cat([self._describe(part) for clip in clips for part in clip.split(frames_per_pass)])
        return rearrange(features, "(b n) d -> b n d", b=x.shape[0])

    def _describe(self, frames: Tensor) -> Tensor:
        planes = rearrange(frames, "m c 1 h w -> (m c) h w")
        edges = rearrange(canny(planes, 5, 140), "(m c) h w -> m c 1 h w", c=3)
        content, edges = (self.normalise(images).squeeze(2) for images in (frames, edges))
        weight = saliency_weight(self.saliency(content)[:, :1])
        return torch.cat([self._statistics(images, weight) for images in (content, edges)], dim=1)

    def _statistics(self, image: Tensor, weight: Tensor) -> Tensor:
        maps = self.net.forward_features(image) * weight
        norm: nn.LayerNorm = self.net.head.norm
        normed = [
            F.layer_norm(vector, norm.normalized_shape, norm.weight, norm.bias, norm.eps) for vector in mean_std(maps)
        ]
        return torch.cat(normed, dim=1)


class HvsMotion(Branch):
    """Tokens of the steps of a chunk: mean and deviation of SlowFast's fast pathway, 512 numbers; always frozen.

    The deviation over space is unbiased. The fast pathway gets no input from the slow one, so the slow pathway, 98 % of
    the network, is not built.

    Args:
        weights: File or name of SlowFast 8x8 R50 weights, with PyTorchVideo's or PySlowFast's key names; null for an
            untrained network.
        depth: Residual blocks per stage.
        width: Channels of the slow stem; the fast pathway has an eighth of them.
        view: Frames to see; null for `default_view`. `OfficialMotionChunks` reads the whole video, so only videos of
            equal length can share a batch.
        num_clips: Chunks per video if no `view` is given; null for 5.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        view: View | None = None,
        num_clips: int | None = None,
    ) -> None:
        view = chosen_view(view, num_clips, default_view, multiple_of=1)
        # The fast pathway ends with 4 * width channels: 32 / 8 times those of the slow stem.
        super().__init__(view, 2 * 4 * width, frozen=True)
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = SlowFastNet("fast", depth=depth, width=width)
        weights = self.sources.take("net", weights, trained=False)
        if weights is not None:
            load_exact(self.net, weights, rename=fast_pathway_key)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N * T, D), from `x` of shape (B, N, 3, T, H, W)."""
        chunks = rearrange(x, "b n c t h w -> (b n) c t h w")
        # One chunk at a time: 32 frames of 1080p take 0.5 GB in each of the first stage's maps.
        features = torch.cat([self._describe(chunk) for chunk in chunks.split(1)])
        return rearrange(features, "(b n) t d -> b (n t) d", b=x.shape[0])

    def _describe(self, chunk: Tensor) -> Tensor:
        (maps,) = self.net(self.normalise(chunk))
        return rearrange(torch.cat(mean_std(maps), dim=1), "m d t -> m t d")
