"""What a viewer looks at and how it moves: HVS-5M's spatial and motion features (TVQA's base).

Zhang, Li, Zhou et al., "HVS Revisited: A Comprehensive Video Quality Assessment Framework", 2022 (HVS-5M). Both
branches see the same 32 of 64 consecutive frames at their own size, so that one decode serves both and row t of one
belongs to row t of the other.
"""

from __future__ import annotations

import re
from typing import Literal

import timm
import torch
from einops import rearrange
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise
from cvqa_models.branches.timm import classifier_keys, pretrained_record
from cvqa_models.nn.canny import canny
from cvqa_models.nn.samnet import SAMNet
from cvqa_models.nn.slowfast import SlowFastNet
from cvqa_models.nn.spatial_stats import mean_std
from cvqa_models.video.dense import MotionChunks, MotionSteps
from cvqa_models.video.frames import Sampling
from cvqa_models.video.pixels import Native, Resize
from cvqa_models.video.view import View
from cvqa_models.weights import load_exact

# One frame of 1080p at a time: it takes 0.5 GB in the widest layer of ConvNeXt-XL.
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
    """Return timm's name of a key of the authors' ConvNeXt; timm's own names stay as they are."""
    return _renamed(key, CONVNEXT_RENAMES)


def fast_pathway_key(key: str) -> str | None:
    """Return PyTorchVideo's name of a key of PySlowFast or PyTorchVideo; None for what the fast pathway never uses."""
    key = _renamed(key, PYSLOWFAST_RENAMES)
    return key if ".multipathway_blocks.1." in key else None


def _renamed(key: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        key = re.sub(pattern, replacement, key)
    return key


def saliency_weight(saliency: Tensor) -> Tensor:
    """Return attention weights, shape (M, 1, H // 32, W // 32), from saliency in (0, 1) of shape (M, 1, H, W).

    About 1.0 to 1.4 outside and 1.8 to 2.4 inside a salient region, so that nothing is masked out.
    """
    level = (255 * saliency).ceil()
    level = level + torch.where(level >= 100, 350, 250)
    size = [side // 32 for side in saliency.shape[2:]]
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False) / 255


class HvsSpatial(Branch):
    """Tokens of single frames: content and edges as attention weighs them, 8192 numbers; always frozen.

    A frame and its Canny edges pass one ConvNeXt; both maps are weighted by the frame's saliency; the mean and the
    unbiased deviation over space of each pass the network's final norm. Order: content mean, content deviation, edge
    mean, edge deviation.

    Args:
        weights: File or name of ConvNeXt weights, with timm's or its authors' key names; null for an untrained network.
        saliency_weights: File or name of SAMNet weights; null for an untrained network.
        name: ConvNeXt of timm; the authors' is `convnext_xlarge` with ImageNet-22k weights.
        num_chunks: Chunks of 64 frames per video, spread evenly.
        size: Height and width to which frames are scaled; null keeps their own, as the authors do, and then only videos
            of one size share a batch.
        sampling: `mended` and `official` take the whole video, so that only videos of equal length share a batch;
            `official` repeats a slip in the frames of the last chunk (see `MotionSteps`).
    """

    def __init__(
        self,
        weights: str | None = None,
        saliency_weights: str | None = None,
        *,
        name: str = "convnext_xlarge",
        num_chunks: int = 5,
        size: tuple[int, int] | None = None,
        sampling: Literal["even", "mended", "official"] = "even",
    ) -> None:
        record = pretrained_record(name)  # refuses addresses and folders, which timm takes for names too
        net = timm.create_model(name, pretrained=False, num_classes=0)
        rule = MotionChunks(num_chunks) if sampling == "even" else MotionSteps(sampling)
        super().__init__(
            View(rule, Native() if size is None else Resize(*size)), 4 * net.num_features, frozen=True, variant=name
        )
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = net
        self.saliency = SAMNet()
        if weights is not None:
            load_exact(self.net, weights, rename=convnext_key, unused=classifier_keys(record))
        if saliency_weights is not None:
            # The authors trained, and may have saved, the network inside a DataParallel.
            load_exact(self.saliency, saliency_weights, rename=lambda key: key.removeprefix("module."))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N * T, D), from `x` of shape (B, N, 3, T, H, W)."""
        frames_per_pass = max(1, PIXELS_PER_PASS // (x.shape[-2] * x.shape[-1]))
        clips = rearrange(x, "b n c t h w -> (b n) t c 1 h w")
        # Clip by clip, so that a video gets the same bits whatever else is in the batch.
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

    The deviation over space is unbiased. Nothing flows from the slow pathway to the fast one, so the slow one, 98 % of
    the network, is not built.

    Args:
        weights: File or name of SlowFast 8x8 R50 weights, with PyTorchVideo's or PySlowFast's key names; null for an
            untrained network.
        depth: Residual blocks per stage.
        width: Channels of the slow stem, of which the fast pathway has an eighth.
        num_chunks: Chunks of 64 frames per video, spread evenly.
        size: Height and width to which frames are scaled; null keeps their own, as the authors do, and then only videos
            of one size share a batch.
        sampling: `official` takes the whole video, so that only videos of equal length share a batch; spatial features
            of either whole-video sampling belong to it.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        depth: tuple[int, int, int, int] = (3, 4, 6, 3),
        width: int = 64,
        num_chunks: int = 5,
        size: tuple[int, int] | None = None,
        sampling: Sampling = "even",
    ) -> None:
        # The fast pathway ends with 4 * width channels: 32 / 8 of the slow stem's.
        view = View(MotionChunks(num_chunks, sampling), Native() if size is None else Resize(*size))
        super().__init__(view, 2 * 4 * width, frozen=True)
        self.normalise = Normalise(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.net = SlowFastNet("fast", depth=depth, width=width)
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
