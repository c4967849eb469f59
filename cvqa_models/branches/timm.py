"""Content of key frames, by any image network of timm."""

from __future__ import annotations

from functools import partial

import timm
import torch
from timm.models import PretrainedCfg, group_parameters
from torch import Tensor, nn

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view, fixed_size, key_frame_view
from cvqa_models.video.view import View
from cvqa_models.weights.exact import keys_in_order, load_exact
from cvqa_models.weights.files import brought_by_package

# Only numbers: text could name files, addresses and programs to timm.
Sizes = dict[str, int | float | bool | list[int] | list[float]]


class Timm(Branch):
    """Tokens of key frames: the pooled features of a timm network, such as DINOv2, ConvNeXt or SigLIP.

    Mean, deviation and the picture size of the default view come from timm's record of the network.

    Args:
        name: Model of timm, with its tag, such as `vit_small_patch14_dinov2.lvd142m`.
        weights: File with timm's key names; or `timm/MODEL.TAG` for weights that `cvqa systems --fetch` has fetched; or
            `tf_efficientnet_lite0.in1k` (also 1, 2) for weights that an installed package contains; null for an
            untrained network.
        view: Key frames of a fixed size, for which the network is then built; null for their centres in its own size.
        num_clips: Key frames per video if no `view` is given; null for 8.
        args: Further arguments of timm's constructor that are numbers, such as the widths of a tiny network.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If timm does not know `name`, or the network does not take these `args`.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        args: Sizes | None = None,
        frozen: bool = False,
    ) -> None:
        record = pretrained_record(name)
        view = chosen_view(view, num_clips, partial(key_frame_view, size=record.input_size[-1]))
        given = {"img_size": fixed_size(view)} if record.fixed_input_size else {}
        try:
            net = timm.create_model(name, pretrained=False, num_classes=0, **(given | (args or {})))
        except TypeError as error:  # one of the names is unknown, or is already set here
            raise ValueError(
                f"`args` are {args}, which '{name}' does not take ({error}); leave that one out"
            ) from error
        super().__init__(view, net.head_hidden_size, frozen=frozen, variant=name)
        self.normalise = Normalise(record.mean, record.std)
        self.net = net
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(net, weights, rename=_renamed(weights, name), unused=classifier_keys(record))

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_turns(self._features, x, None if self.training else x.shape[1])

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters of each stage or block, as timm divides the network, from the stem on."""
        named = dict(self.net.named_parameters())
        names = group_parameters(self.net, self.net.group_matcher(coarse=True))
        return [[named[name] for name in names[place]] for place in sorted(names)]

    def _features(self, frames: Tensor) -> Tensor:
        features: Tensor = self.net(self.normalise(frames).squeeze(2))
        return features


def _renamed(weights: str, name: str) -> dict[str, str] | None:
    if not brought_by_package(weights):
        return None
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False)
    return keys_in_order(weights, whole)


def pretrained_record(name: str) -> PretrainedCfg:
    """Return timm's record of how the network `name` was trained; a name without a tag means timm's default tag.

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
    """Return the keys of the classifiers: a published file holds them, but a feature network does not need them."""
    layers = (record.classifier,) if isinstance(record.classifier, str) else record.classifier or ()
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
