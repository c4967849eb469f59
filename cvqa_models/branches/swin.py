"""Content of key frames, by Swin transformers."""

from __future__ import annotations

import re

from cvqa_models.branches.timm import Sizes, Timm, classifier_keys, pretrained_record
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read


class Swin(Timm):
    """Tokens of key frames: the mean over a Swin transformer's last tokens, 1024 numbers for Swin-B.

    Takes files with the key names of timm 1.x, of timm 0.6 and of the authors of Swin.

    Args:
        name: Any Swin of timm.
        weights: File, or name such as `swin_base_384_in22k`; null for an untrained network.
        view: Key frames of a fixed size, for which the network is then built; null for their centres in its own size.
        num_clips: Key frames per video if no `view` is given; null for 8.
        args: Further numbers for timm's constructor, such as `embed_dim`, `depths` and `num_heads` of a tiny network.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        name: str = "swin_base_patch4_window12_384.ms_in22k",
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        args: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__(name, None, view=view, num_clips=num_clips, args=args, frozen=frozen)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            tensors = read(resolve(weights))
            rename = from_timm_0_6 if any(key.startswith("layers.0.downsample.") for key in tensors) else None
            load_exact(self.net, tensors, rename=rename, unused=classifier_keys(pretrained_record(name)))


def from_timm_0_6(key: str) -> str | None:
    """Return timm 1.x's name of a Swin key of timm 0.6, or None for a table that 1.x computes itself.

    A merge of patches used to be the end of a stage, and is now the start of the next stage.
    """
    if key.endswith(("attn_mask", "relative_position_index")):
        return None
    key = re.sub(r"^layers\.(\d)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", key)
    return re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", key)
