"""Key frames or their patches, by torchvision's Swin transformers (E-VQA, MinimalisticVQA)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformer

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import IMAGENET_MEAN, IMAGENET_STD, Normalise, in_turns
from cvqa_models.branches.views import chosen_view, key_frame_view
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

CLASSIFIER = ("head.weight", "head.bias")


class TorchvisionSwin(Branch):
    """Tokens of single frames: the mean over a Swin transformer's last map, 768 numbers for Swin-T.

    torchvision's network takes frames of any size. For small frames it pads its windows, where timm's network (`Swin`)
    makes them narrower, so the two give different features.

    Args:
        weights: File or name of weights with torchvision's key names; null for an untrained network.
        prefix: Start of this network's key names in a file that holds more.
        view: Single frames; null for the centres of key frames, 384 x 384.
        num_clips: Key frames per video if no `view` is given; null for 8.
        width: Channels of the first stage; 96 for Swin-T, 128 for Swin-B.
        depths: Blocks per stage.
        heads: Attention heads per stage.
        drop_path: Probability of skipping the last block in training; it is lower for earlier blocks. 0.2 for Swin-T,
            0.5 for Swin-B.
        frozen: Whether the weights are fixed.

    Raises:
        ValueError: If there are fewer than two blocks, or not as many numbers of heads as stages.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        prefix: str = "",
        view: View | None = None,
        num_clips: int | None = None,
        width: int = 96,
        depths: tuple[int, ...] = (2, 2, 6, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        drop_path: float = 0.2,
        frozen: bool = False,
    ) -> None:
        view = chosen_view(view, num_clips, partial(key_frame_view, size=384))
        super().__init__(view, width << (len(depths) - 1), frozen=frozen)
        self.normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self.net = swin_transformer(width, depths, heads, drop_path)
        weights = self.sources.take("net", weights, trained=not frozen)
        if weights is not None:
            load_exact(self.net, weights, prefix=prefix, unused=CLASSIFIER)

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per frame, shape (B, N, D), from `x` of shape (B, N, 3, 1, H, W)."""
        return in_turns(self._features, x, None if self.training else x.shape[1])

    def _features(self, frames: Tensor) -> Tensor:
        features: Tensor = self.net(self.normalise(frames).squeeze(2))
        return features


def swin_transformer(width: int, depths: tuple[int, ...], heads: tuple[int, ...], drop_path: float) -> SwinTransformer:
    """Return torchvision's network without its classifier, untrained; arguments as for `TorchvisionSwin`.

    Raises:
        ValueError: If there are fewer than two blocks, or not as many numbers of heads as stages.
    """
    if sum(depths) < 2 or len(heads) != len(depths):
        raise ValueError(
            f"`depths` are {list(depths)} and `heads` {list(heads)}; expected one number of each for every stage, and "
            "two blocks or more in all."
        )
    net = SwinTransformer([4, 4], width, list(depths), list(heads), [7, 7], stochastic_depth_prob=drop_path)
    net.head = nn.Identity()
    return net
