"""Content of key frames, by Swin transformers."""

from __future__ import annotations

import re

from cvqa_models.branches.inputs import Geometry
from cvqa_models.branches.timm import Sizes, Timm, classifier_keys, pretrained_record
from cvqa_models.video.frames import Sampling
from cvqa_models.weights import load_exact, read, resolve


class Swin(Timm):
    """Tokens of key frames: the mean over a Swin transformer's last tokens, 1024 numbers for Swin-B.

    Takes files with the key names of timm 1.x, of timm 0.6 and of the authors of Swin.

    Args:
        name: Any Swin of timm.
        weights: File, or name such as `swin_base_384_in22k`; null for an untrained network.
        num_frames: Key frames per video.
        size: Side of the pictures in pixels; null for the network's own.
        geometry: How a frame becomes a square, see `key_frame_view`.
        sampling: Which key frames of a long video, see `KeyFrames`.
        args: Further numbers for timm's constructor, such as `embed_dim`, `depths` and `num_heads` of a tiny network.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        name: str = "swin_base_patch4_window12_384.ms_in22k",
        weights: str | None = None,
        *,
        num_frames: int = 8,
        size: int | None = None,
        geometry: Geometry = "crop",
        sampling: Sampling = "even",
        args: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__(
            name, None, num_frames=num_frames, size=size, geometry=geometry, sampling=sampling, args=args, frozen=frozen
        )
        if weights is not None:
            tensors = read(resolve(weights))
            rename = from_timm_0_6 if any(key.startswith("layers.0.downsample.") for key in tensors) else None
            load_exact(self.net, tensors, rename=rename, unused=classifier_keys(pretrained_record(name)))


def from_timm_0_6(key: str) -> str | None:
    """Return timm 1.x's name of a Swin key of timm 0.6, or None for a table that 1.x computes itself.

    A merge of patches was the end of a stage and is now the start of the next.
    """
    if key.endswith(("attn_mask", "relative_position_index")):
        return None
    key = re.sub(r"^layers\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", key)
    return re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", key)
