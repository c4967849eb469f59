"""Content of key frames, by a Swin transformer with attention over its whole last map (RQ-VQA)."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.swin import Swin, from_timm_0_6
from cvqa_models.branches.timm import Sizes
from cvqa_models.branches.views import fixed_size
from cvqa_models.nn.attention_stack import AttentionStack
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read
from cvqa_models.weights.sources import to_read

_BACKBONE = "feature_extraction.feature_extraction."
_STACK = "bot4."


class SwinAttention(Swin):
    """Tokens of key frames: the mean of a Swin transformer's last map after three attention blocks (RQ-VQA).

    Args:
        name: Any Swin of timm.
        weights: File or name for the Swin alone, see `Swin`, or an RQ-VQA checkpoint for both; null for an untrained
            network.
        view: Key frames of a fixed size, for which the network is then built (the authors train on random squares of
            the frame); null for their centres in its own size.
        num_clips: Key frames per video if no `view` is given; null for 8.
        args: Further numbers for timm's constructor, such as `embed_dim`, `depths` and `num_heads` of a tiny network.
        head_dim: Width of each of the four heads of the attention blocks.
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
        head_dim: int = 128,
        frozen: bool = False,
    ) -> None:
        given, weights = weights, to_read(weights, trained=not frozen)
        tensors = {} if weights is None else read(resolve(weights))
        whole = any(key.startswith(_STACK) for key in tensors)
        super().__init__(name, None if whole else weights, view=view, num_clips=num_clips, args=args, frozen=frozen)
        assert self.view is not None  # a network of frames has one
        height, width = (side // self.net.feature_info[-1]["reduction"] for side in fixed_size(self.view))
        self.attention = AttentionStack(self.dim, (height, width), head_dim=head_dim)
        self.sources.take("net", given, trained=not frozen)
        self.sources.take("attention", given if whole else None, trained=not frozen)
        if whole:
            old = f"{_BACKBONE}layers.0.downsample.norm.weight" in tensors
            load_exact(self.net, tensors, prefix=_BACKBONE, rename=from_timm_0_6 if old else None)
            load_exact(self.attention, tensors, prefix=_STACK)

    def _features(self, frames: Tensor) -> Tensor:
        maps = self.net.forward_features(self.normalise(frames).squeeze(2))
        features: Tensor = self.attention(maps.permute(0, 3, 1, 2)).mean(dim=(2, 3))
        return features
