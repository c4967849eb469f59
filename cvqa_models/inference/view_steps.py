"""Describe the input of a model in words and numbers, so that another program can make it without this package."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.view import View

COLOUR = (
    "RGB, 8 bits, upright and cropped as FFmpeg shows it. Matrix and range are those that the stream names; a stream "
    "that names no matrix is BT.709 from 720 lines on and BT.601 below, and one that names no range is limited. "
    "FFmpeg's scaler gives the same values with the flags accurate_rnd+full_chroma_int+full_chroma_inp, "
    "which are not its default."
)
NORMALISATION = "none: the file takes uint8 from 0 to 255 and normalises by itself"
EXAMPLES = ((720, 1280), (1080, 1920))
SECONDS, RATE = 10, 25


def describe_views(names: Sequence[str], views: Sequence[View]) -> list[dict[str, Any]]:
    """Return the inputs of an exported model, one object per view: shape, colour, frames and geometry.

    Rules are described by their parameters, in words, and by examples: the frames chosen from ten seconds at 25 frames
    a second, and the geometry for frames of 720 and 1080 lines.
    """
    return [_described(name, view) for name, view in zip(names, views, strict=True)]


def _described(name: str, view: View) -> dict[str, Any]:
    clips, length = view.frames.num_clips or 1, view.frames.clip_length
    height, width = view.pixels.output_size(*EXAMPLES[0])
    channels = 6 if view.with_reference else 3
    return {
        "name": name,
        "type": "uint8",
        "shape": ["videos", clips, channels, length, height, width],
        "axes": ["videos", "clips", "channels", "frames of a clip", "height", "width"],
        "colour": COLOUR + (" Channels 4 to 6 are those of the source at the same frame." if channels == 6 else ""),
        "normalisation": NORMALISATION,
        "frames": _rule(view.frames) | {"example": _frames(view)},
        "pixels": _rule(view.pixels)
        | {"kernel": view.pixels.kernel, "examples": [_geometry(view, *e) for e in EXAMPLES]},
    }


def _rule(rule: Any) -> dict[str, Any]:
    """Return a rule's name, its numbers, and its own words."""
    return {"rule": type(rule).__name__, **asdict(rule), "says": inspect.cleandoc(type(rule).__doc__ or "")}


def _frames(view: View) -> dict[str, Any]:
    count = SECONDS * RATE
    times = FrameTimes(count, float(RATE), tuple((np.arange(count) / RATE).tolist()))
    return {"of": f"{count} frames, {RATE} a second", "indices": view.frames.indices(times).tolist()}


def _geometry(view: View, height: int, width: int) -> dict[str, Any]:
    """Return how a frame is changed: its size after scaling, and the places where each clip is cut."""
    places = view.pixels.draw(height, width, view.frames.num_clips or 1, None)
    cuts = [place.tolist() for place in places]
    scaled = view.pixels.scaled_size(height, width)
    return {
        "of": [height, width],
        "scaled_to": list(scaled),
        "cuts": cuts,
        "then": list(view.pixels.output_size(height, width)),
    }
