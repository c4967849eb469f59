"""Choose the view of a branch: its default, or a given view, which is checked to fit its network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Crop, Kernel, Native, Size
from cvqa_models.video.view import View


def chosen_view(
    view: View | None, num_clips: int | None, default: Callable[..., View], *, multiple_of: int | None = None
) -> View:
    """Return `view`, or the default view if none is given; the default decides whether the source is read too.

    Args:
        view: View that was given to the branch.
        num_clips: Clips per video of the default view; None for its own number.
        default: Makes the default view, from the number of clips.
        multiple_of: Number that must divide the frames of a clip; None requires as many frames as in the default view.

    Raises:
        ValueError: If both `view` and `num_clips` are given, or the network cannot take clips like those of `view`.
    """
    usual = default() if num_clips is None else default(num_clips)
    if view is None:
        return usual
    if num_clips is not None:
        raise ValueError(
            f"`num_clips` is {num_clips}, but the given `view` has a number of clips, too; set `num_clips` of its "
            "`frames`, and leave this one out (null)."
        )
    length, expected = view.frames.clip_length, usual.frames.clip_length
    if length != expected if multiple_of is None else length % multiple_of:
        wanted = f"{expected}" if multiple_of is None else f"a multiple of {multiple_of}"
        raise ValueError(
            f"`view` has {length} frames in a clip (`{view.frames.key}`), but this network takes {wanted}; choose "
            "other `frames`."
        )
    if view.with_reference and not usual.with_reference:
        raise ValueError(
            "`with_reference` of `view` is true, but this branch compares nothing with the source; leave it out."
        )
    return replace(view, with_reference=usual.with_reference)


def check_one_clip(view: View) -> None:
    """Raise a ValueError if a view has several clips, for a network that takes a video as one clip."""
    if view.frames.num_clips != 1:
        raise ValueError(
            f"`view` has clips apart (`{view.frames.key}`), but this network sees one; join them with `Spliced`."
        )


def fixed_size(view: View) -> Size:
    """Return height and width of a view's frames.

    Raises:
        ValueError: If they depend on the size of the video.
    """
    size = view.pixels.output_size(2, 3)
    if size != view.pixels.output_size(3, 2):
        raise ValueError(
            f"`view` shows frames of the video's own size (`{view.pixels.key}`), but this network takes one size; "
            "choose other `pixels`, such as `Resize`."
        )
    return size


def places(scores: Tensor, view: View) -> Tensor:
    """Return the scores of the tokens of maps, (B, M), as (B, moments, rows, columns).

    Args:
        scores: One number per token, moment by moment and row by row; a moment is two frames.
        view: View that the branch saw.

    Raises:
        ValueError: If the number of tokens does not fit the maps of this view.
    """
    height, width = fixed_size(view)
    moments = (view.frames.num_clips or 1) * view.frames.clip_length // 2
    rows = round(math.sqrt(scores.shape[1] / max(moments, 1) * height / width))
    if not rows or scores.shape[1] % (moments * rows):
        raise ValueError(
            f"There are {scores.shape[1]} tokens of `{view.key}`; expected a map of {height} x {width} pixels at each "
            f"of {moments} moments."
        )
    placed: Tensor = scores.unflatten(1, (moments, rows, -1))
    return placed


def key_frame_view(num_clips: int = 8, *, size: int, kernel: Kernel = "bilinear") -> View:
    """Return the view of key frames as squares of `size` pixels: the centre of frames with that short side."""
    return View(KeyFrames(num_clips), Crop(size, short=size, kernel=kernel))


def whole_key_frame_view(num_clips: int = 8, *, with_reference: bool = False) -> View:
    """Return the view of key frames of the video's own size."""
    return View(KeyFrames(num_clips), Native(), with_reference)
