"""Compression of one-second chunks at 720 lines, by UVQ's compression network."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.compression_level import pretrained_key
from cvqa_models.branches.inputs import Normalise, in_turns
from cvqa_models.branches.views import chosen_view, fixed_size
from cvqa_models.nn.s3d import S3D
from cvqa_models.video.frame_rules import Chunks
from cvqa_models.video.pixel_rules import Fit
from cvqa_models.video.view import View
from cvqa_models.weights.exact import load_exact

# Layers that UVQ's file holds in addition to the features: the level, and the projection of its training objective.
LEVEL_AND_PROJECTION = {
    f"{layer}.{kind}" for layer in ("conv3d_0c.conv", "nonlinear1", "nonlinear2") for kind in ("weight", "bias")
}


def default_view(num_clips: int = 8) -> View:
    """Return UVQ's view: seconds of 5 frames each, fitted into 1280 x 720, with black borders if the shape differs."""
    return View(Chunks(num_clips, 5, fps=5), Fit(720, 1280, "bicubic"))


class Compression(Branch):
    """Tokens of one-second chunks: the mean over a grid of patches of UVQ's compression features.

    The defaults are the published network on frames fitted into 1280 x 720 at 5 frames a second, 4 x 4 patches of
    320 x 180: 1600 numbers, the feature map of a patch by row, column and channel. The mean over patches is our choice;
    the challenge paper does not state its pooling.

    Args:
        weights: File or name of weights, such as `uvq_compressionnet`; null for an untrained network.
        view: Clips of 5 frames, in a fixed size that `grid` divides; null for `default_view`.
        num_clips: Seconds per video if no `view` is given; null for 8.
        grid: Rows and columns of patches.
        net_width: Multiplier of every width inside the network.
        features: Channels of the feature map.
        frozen: Whether the weights are fixed.
    """

    def __init__(
        self,
        weights: str | None = None,
        *,
        view: View | None = None,
        num_clips: int | None = None,
        grid: tuple[int, int] = (4, 4),
        net_width: float = 1.0,
        features: int = 100,
        frozen: bool = False,
    ) -> None:
        view = chosen_view(view, num_clips, default_view)
        height, width = fixed_size(view)
        rows, columns = -(-height // grid[0] // 32) - 2, -(-width // grid[1] // 32) - 6
        if height % grid[0] or width % grid[1] or rows < 1 or columns < 1:
            raise ValueError(
                f"{width} x {height} pixels do not split into {grid[1]} x {grid[0]} patches of at least 193 x 65; "
                "change `pixels` of `view`, or `grid`"
            )
        variant = "x".join(map(str, grid))
        super().__init__(view, rows * columns * features, frozen=frozen, variant=variant)
        self.grid = grid
        self.normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.net = S3D(width=net_width, features=features)
        weights = self.sources.take("net", weights, trained=not frozen)
        self.from_scratch = self.sources["net"].random
        if weights is not None:
            load_exact(self.net, weights, rename=pretrained_key, unused=LEVEL_AND_PROJECTION)

    def train(self, mode: bool = True) -> Compression:
        """Set training mode as in any branch; but without weights, normalise by the statistics of the batch.

        Without weights there are no running statistics yet, and the signal would vanish in so deep a network.
        """
        super().train(mode)
        if self.from_scratch:
            self.net.train(mode and not self.frozen)
        return self

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per second, shape (B, N, D), from `x` of shape (B, N, 3, 5, H, W)."""
        return in_turns(self._described, x, None if self.training else 1)

    def _described(self, seconds: Tensor) -> Tensor:
        rows, columns = self.grid
        patches = rearrange(self.normalise(seconds), "m c t (i p) (j q) -> (m i j) c t p q", i=rows, j=columns)
        features = rearrange(self.net(patches), "(m k) c h w -> m k (h w c)", m=len(seconds))
        mean: Tensor = features.mean(1)
        return mean
