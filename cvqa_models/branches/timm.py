"""Content of key frames, by any image network of timm."""

from __future__ import annotations

import timm
from timm.models import PretrainedCfg
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Geometry, Normalise, in_chunks, key_frame_view
from cvqa_models.video.frames import Sampling
from cvqa_models.weights import load_exact

# Numbers alone: text could name files, addresses and programs to timm.
Sizes = dict[str, int | float | bool | list[int] | list[float]]


class Timm(Branch):
    """Tokens of key frames: the pooled features of a timm network, such as DINOv2, ConvNeXt or SigLIP.

    Mean, deviation and picture size come from timm's record of the network.

    Args:
        name: Model of timm, with its tag, such as `vit_small_patch14_dinov2.lvd142m`.
        weights: File with timm's key names, or `timm/MODEL.TAG` for one that `cvqa systems --fetch` put in place; null
            for an untrained network.
        num_frames: Key frames per video.
        size: Side of the pictures in pixels; null for the network's own.
        geometry: How a frame becomes a square, see `key_frame_view`.
        sampling: Which key frames of a long video, see `KeyFrames`.
        args: Further arguments of timm's constructor that are numbers, such as the widths of a tiny network.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If timm does not know `name`, or the network takes no such `args`.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = None,
        *,
        num_frames: int = 8,
        size: int | None = None,
        geometry: Geometry = "crop",
        sampling: Sampling = "even",
        args: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        record = pretrained_record(name)
        size = size or record.input_size[-1]
        given = {"img_size": size} if record.fixed_input_size else {}
        try:
            net = timm.create_model(name, pretrained=False, num_classes=0, **(given | (args or {})))
        except TypeError as error:  # an unknown name among them, or one that is set here
            raise ValueError(
                f"`args` are {args}, which '{name}' does not take ({error}); leave that one out"
            ) from error
        view = key_frame_view(num_frames, size, geometry, sampling)
        super().__init__(view, net.head_hidden_size, frozen=frozen, variant=name)
        self.normalise = Normalise(record.mean, record.std)
        self.net = net
        if weights is not None:
            load_exact(net, weights, unused=classifier_keys(record))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_chunks(self._features, x, None if self.training else x.shape[1])

    def _features(self, frames: Tensor) -> Tensor:
        features: Tensor = self.net(self.normalise(frames).squeeze(2))
        return features


def pretrained_record(name: str) -> PretrainedCfg:
    """Return timm's record of how the network `name` was trained, of its default tag where the name has none.

    Raises:
        ValueError: If timm has no such network or tag.
    """
    architecture = name.split(".")[0]
    try:
        record = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = timm.list_models(f"{architecture}.*", pretrained=True)
        raise ValueError(f"timm has no weights tagged like '{name}'; give one of {', '.join(known)}") from error
    if record is None:
        near = timm.list_models(f"{architecture.split('_')[0]}*")[:5]
        raise ValueError(f"timm has no model '{name}'; names that start alike: {', '.join(near) or 'none'}")
    return record


def classifier_keys(record: PretrainedCfg) -> list[str]:
    """Return the keys of the classifiers that a published file holds and a feature network does not build."""
    layers = (record.classifier,) if isinstance(record.classifier, str) else record.classifier or ()
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
