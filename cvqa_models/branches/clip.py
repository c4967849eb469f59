"""Semantics of key frames, by the image tower of a CLIP."""

from __future__ import annotations

import open_clip
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Geometry, Normalise, in_chunks, key_frame_view
from cvqa_models.branches.timm import Sizes
from cvqa_models.video.frames import Sampling
from cvqa_models.weights import load_exact, read, resolve

# open_clip builds an image tower only as part of a whole model; this is the least text tower to go with it.
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


class Clip(Branch):
    """Tokens of key frames: image embeddings of any CLIP in open_clip, before their normalisation to length 1.

    Args:
        name: Model of open_clip. OpenAI's weights need a name that ends in `-quickgelu`.
        weights: File with open_clip's key names, whole model or image tower, or name such as `clip_vit_l14_openai`;
            null for an untrained network. OpenAI's own archives are programs and are refused: the same weights lie on
            timm's hub as tensors.
        num_frames: Key frames per video.
        geometry: How a frame becomes a square, see `key_frame_view`.
        sampling: Which key frames of a long video, see `KeyFrames`.
        mean: Colour mean of the weights, in [0, 1]; OpenAI's, which most follow. SigLIP takes 0.5.
        std: Colour deviation of the weights, likewise.
        dim: Width of the embedding; null for the model's own.
        vision: Other numbers for open_clip's configuration of the image tower, such as `layers` and `width` of a tiny
            one.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If open_clip does not know `name`, or its image tower takes no such `vision`.
    """

    def __init__(
        self,
        name: str = "ViT-L-14-quickgelu",
        weights: str | None = None,
        *,
        num_frames: int = 8,
        geometry: Geometry = "crop",
        sampling: Sampling = "even",
        mean: tuple[float, float, float] = open_clip.OPENAI_DATASET_MEAN,
        std: tuple[float, float, float] = open_clip.OPENAI_DATASET_STD,
        dim: int | None = None,
        vision: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        # Asked for a configuration, open_clip also takes addresses and folders for names, and downloads.
        config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
        if config is None:
            near = [known for known in open_clip.list_models() if known.startswith(name.split("-")[0])][:5]
            raise ValueError(f"open_clip has no model '{name}'; names that start alike: {', '.join(near) or 'none'}")
        dim = dim or config["embed_dim"]
        # `timm_model_pretrained` would let open_clip download weights for towers that it takes from timm.
        tower = config["vision_cfg"] | (vision or {}) | {"timm_model_pretrained": False}
        try:
            net = open_clip.CLIP(dim, tower, NO_TEXT, quick_gelu=config.get("quick_gelu", False)).visual
        except TypeError as error:
            raise ValueError(f"`vision` is {vision}, which open_clip does not take ({error}); see its files") from error
        view = key_frame_view(num_frames, tower.get("image_size", 224), geometry, sampling, "bicubic")
        super().__init__(view, dim, frozen=frozen, variant=name)
        self.normalise = Normalise(mean, std)
        self.net = net
        if weights is not None:
            tensors = read(resolve(weights))
            whole_model = any(key.startswith("visual.") for key in tensors)
            load_exact(net, tensors, prefix="visual." if whole_model else "")

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_chunks(self._embedded, x, None if self.training else x.shape[1])

    def _embedded(self, frames: Tensor) -> Tensor:
        embedding: Tensor = self.net(self.normalise(frames).squeeze(2))
        return embedding
