"""A view: which frames a branch sees and in what geometry. The only thing that models and data share."""

from __future__ import annotations

from dataclasses import dataclass

from cvqa_models.video.frames import FrameRule
from cvqa_models.video.pixels import PixelRule


@dataclass(frozen=True)
class View:
    """Frames chosen by `frames`, cut by `pixels`.

    The tensor of a view is uint8 RGB, shape (N, C, T, H, W): N = `frames.num_clips` clips of T = `frames.clip_length`
    frames. C is 3, or 6 with `with_reference`: the distorted frame, then the source at the same index.

    Attributes:
        frames: Frame rule; arithmetic on the timeline alone.
        pixels: Pixel rule; scale and crop.
        with_reference: Whether the pristine source is read beside the distorted video.
    """

    frames: FrameRule
    pixels: PixelRule
    with_reference: bool = False

    @property
    def key(self) -> str:
        """Return the short name that identifies the view in batches and feature stores."""
        return f"{self.frames.key}-{self.pixels.key}" + ("-fr" if self.with_reference else "")

    @property
    def random(self) -> bool:
        """Return whether training draws from the view at random, so that its features must not be cached."""
        return self.frames.random or self.pixels.random
