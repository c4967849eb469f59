"""Content of key frames, by a Swin transformer with attention over its whole last map (RQ-VQA)."""

from __future__ import annotations

from torch import Tensor

from cvqa_models.branches.inputs import Geometry
from cvqa_models.branches.swin import Swin, from_timm_0_6
from cvqa_models.branches.timm import Sizes
from cvqa_models.nn.attention_stack import AttentionStack
from cvqa_models.video.frames import Sampling
from cvqa_models.weights import load_exact, read, resolve

_BACKBONE = "feature_extraction.feature_extraction."
_STACK = "bot4."


class SwinAttention(Swin):
    """Tokens of key frames: a Swin transformer's last map through three attention blocks, then its mean (RQ-VQA).

    Args:
        name: Any Swin of timm.
        weights: File or name for the Swin alone, see `Swin`, or an RQ-VQA checkpoint for both; null for an untrained
            network.
        num_frames: Key frames per video.
        size: Side of the pictures in pixels; null for the network's own.
        geometry: How a frame becomes a square, see `key_frame_view`; in training the authors take `random_crop`.
        sampling: Which key frames of a long video, see `KeyFrames`.
        args: Further numbers for timm's constructor, such as `embed_dim`, `depths` and `num_heads` of a tiny network.
        head_dim: Width of each of the four heads of the attention blocks.
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
        head_dim: int = 128,
        frozen: bool = False,
    ) -> None:
        tensors = {} if weights is None else read(resolve(weights))
        # Training on several GPUs left its prefix on the published names.
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
        whole = any(key.startswith(_STACK) for key in tensors)
        super().__init__(
            name,
            None if whole else weights,
            num_frames=num_frames,
            size=size,
            geometry=geometry,
            sampling=sampling,
            args=args,
            frozen=frozen,
        )
        side = self.view.pixels.output_size(1, 1)[0] // self.net.feature_info[-1]["reduction"]
        self.attention = AttentionStack(self.dim, (side, side), head_dim=head_dim)
        if whole:
            old = f"{_BACKBONE}layers.0.downsample.norm.weight" in tensors
            load_exact(self.net, tensors, prefix=_BACKBONE, rename=from_timm_0_6 if old else None)
            load_exact(self.attention, tensors, prefix=_STACK)

    def _features(self, frames: Tensor) -> Tensor:
        maps = self.net.forward_features(self.normalise(frames).squeeze(2))
        features: Tensor = self.attention(maps.permute(0, 3, 1, 2)).mean(dim=(2, 3))
        return features
