"""Semantics of key frames, by the image tower of a CLIP."""

from __future__ import annotations

from functools import partial

import open_clip
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.timm import Sizes
from cvqa_models.branches.views import chosen_view, fixed_size, key_frame_view
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact
from cvqa_models.weights.files import resolve
from cvqa_models.weights.reading import read

# open_clip builds an image tower only as part of a whole model; this is the smallest text tower for it.
NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


class Clip(Branch):
    """Tokens of key frames: image embeddings of any CLIP in open_clip, before their normalisation to length 1.

    Args:
        name: Model of open_clip. OpenAI's weights need a name that ends in `-quickgelu`.
        weights: File with open_clip's key names, whole model or image tower, or name such as `clip_vit_l14_openai`;
            null for an untrained network. OpenAI's own archives are programs and are refused; timm's hub has the same
                weights as tensors.
            prefix: Start of the tower's key names in a file of another system.
        view: Key frames in the size that the tower takes; null for their centres.
        num_clips: Key frames per video if no `view` is given; null for 8.
        mean: Colour mean of the weights, in [0, 1]; the default is OpenAI's, which most models use. SigLIP takes 0.5.
        std: Colour deviation of the weights, likewise.
        dim: Width of the embedding; null for the model's own.
        vision: Numbers that replace those of open_clip's configuration of the image tower, such as `layers` and `width`
            of a tiny one.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If open_clip does not know `name`, or its image tower does not take these `vision` values, or takes
            frames of another size than `view` gives.
    """

    def __init__(
        self,
        name: str = "ViT-L-14-quickgelu",
        weights: str | None = None,
        *,
        prefix: str = "",
        view: View | None = None,
        num_clips: int | None = None,
        mean: tuple[float, float, float] = open_clip.OPENAI_DATASET_MEAN,
        std: tuple[float, float, float] = open_clip.OPENAI_DATASET_STD,
        dim: int | None = None,
        vision: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        # open_clip's function for configurations also takes addresses and folders as names, and then downloads.
        config = open_clip.get_model_config(name) if name in open_clip.list_models() else None
        if config is None:
            near = [known for known in open_clip.list_models() if known.startswith(name.split("-")[0])][:5]
            raise ValueError(f"open_clip has no model '{name}'; names that start alike: {', '.join(near) or 'none'}")
        dim = dim or config["embed_dim"]
        # With `timm_model_pretrained` open_clip would download weights for towers that come from timm.
        tower = config["vision_cfg"] | (vision or {}) | {"timm_model_pretrained": False}
        try:
            net = open_clip.CLIP(dim, tower, NO_TEXT, quick_gelu=config.get("quick_gelu", False)).visual
        except TypeError as error:
            raise ValueError(f"`vision` is {vision}, which open_clip does not take ({error}); see its files") from error
        side = tower.get("image_size", 224)
        view = chosen_view(view, num_clips, partial(key_frame_view, size=side, kernel="bicubic"))
        if fixed_size(view) != (side, side):
            raise ValueError(
                f"`view` shows frames of {fixed_size(view)}, but the tower takes {(side, side)}; change the view's "
                "`pixels`, or `image_size` of `vision`."
            )
        super().__init__(view, dim, frozen=frozen, variant=name)
        self.normalise = Normalise(mean, std)
        self.net = net
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None and prefix:
            load_exact(net, weights, prefix=prefix)
        elif weights is not None:
            tensors = read(resolve(weights))
            whole_model = any(key.startswith("visual.") for key in tensors)
            load_exact(net, tensors, prefix="visual." if whole_model else "")

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_turns(self._embedded, x, None if self.training else x.shape[1])

    def _embedded(self, frames: Tensor) -> Tensor:
        embedding: Tensor = self.net(self.normalise(frames).squeeze(2))
        return embedding
