"""A view: which frames a branch sees, and how they are scaled and cut. Only views are shared by models and data."""

from __future__ import annotations

from dataclasses import dataclass

from cvqa_models.video.frame_rules import FrameRule
from cvqa_models.video.pixel_rules import PixelRule


@dataclass(frozen=True)
class View:
    """Frames chosen by `frames`, cut by `pixels`.

    The tensor of a view is uint8 RGB, shape (N, C, T, H, W): N = `frames.num_clips` clips of T = `frames.clip_length`
    frames. C is 3, or 6 with `with_reference`: the distorted frame, then the source at the same index.

    Attributes:
        frames: Frame rule; arithmetic on the times of the frames alone.
        pixels: Pixel rule; scale and crop.
        with_reference: Whether the pristine source is read together with the distorted video.

    Raises:
        ValueError: If `pixels` changes places after `aligned` frames, and the clip length is not a multiple of that.
    """

    frames: FrameRule
    pixels: PixelRule
    with_reference: bool = False

    def __post_init__(self) -> None:
        length, aligned = self.frames.clip_length, self.pixels.aligned
        if aligned is not None and length % aligned:
            raise ValueError(
                f"`aligned` of {type(self.pixels).__name__} is {aligned}, but a clip of `{self.frames.key}` has "
                f"{length} frames; expected a divisor of that, or null."
            )

    @property
    def key(self) -> str:
        """Return the short name that identifies the view in batches and feature stores."""
        return f"{self.frames.key}-{self.pixels.key}" + ("-fr" if self.with_reference else "")

    @property
    def random(self) -> bool:
        """Return whether training draws frames or places at random; features of such a view must not be cached."""
        return self.frames.random or self.pixels.random
