"""Pictures of one scored video: the frames of its worst parts, and heat maps of the worst frame and around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cvqa_models.report.heat import heat_figure, overlay, span
from cvqa_models.report.pictures import pictures, stills
from cvqa_models.report.plots import png
from cvqa_models.report.timeline_plots import SHOWN
from cvqa_models.video.pixel_rules import Frame
from cvqa_models.video.reader import ReadOptions

if TYPE_CHECKING:
    from cvqa_models.inference.timeline import Timeline

Maps = Mapping[str, NDArray[np.float32]]

AROUND = 1.0  # seconds before and after the worst frame that the short video shows
STEP = 0.25  # seconds for which it shows one map
WIDEST = 1280  # columns of a frame with its heat


@dataclass(frozen=True)
class Heat:
    """Where a video is bad.

    Attributes:
        maps: Name -> scores of places at some moments around the worst frame, (F, rows, columns).
        picture: The worst frame next to its maps, as the content of a PNG file.
        video: The moments around it, with the heat of the first map, as the content of an MP4 file; empty if not
            requested.
    """

    maps: Maps
    picture: bytes
    video: bytes


def worst_stills(path: str | Path, timeline: Timeline, options: ReadOptions) -> list[Frame]:
    """Return the frame of each of the worst parts of a video, small, RGB, uint8, (H, W, 3).

    Raises:
        ValueError: If the video cannot be read.
    """
    return stills(path, [part.worst for part in timeline.worst(SHOWN)], options)


def heat_of(
    path: str | Path,
    timeline: Timeline,
    options: ReadOptions,
    maps_at: Callable[[Sequence[int]], Maps],
    *,
    video: bool = True,
) -> Heat | None:
    """Return the heat maps of a video in and around its worst frame; None if its system has no maps of places.

    Args:
        path: The video.
        timeline: Its scores over time.
        options: How it is read.
        maps_at: Function from indices of frames to their score maps, name -> (F, rows, columns).
        video: Whether to make the short video too.

    Raises:
        ValueError: If the video cannot be read.
    """
    if not timeline.worst():
        return None
    [worst] = timeline.worst()
    fps = timeline.fps or 25.0
    # Stop at cuts: another scene looks different.
    cuts = [0, *(round(cut * fps) for cut in timeline.cuts), round(timeline.duration * fps)]
    begin = max(cut for cut in cuts if cut <= worst.worst)
    end = min([cut for cut in cuts if cut > worst.worst], default=worst.worst + 1)
    room, step = round(AROUND * fps), max(1, round(STEP * fps))
    shown = range(max(begin, worst.worst - room), min(end, worst.worst + room + 1))
    looked = sorted({worst.worst, *range(shown.start, shown.stop, step)} if video else {worst.worst})
    maps = maps_at(looked)
    if not maps:
        return None
    [picture] = stills(path, [worst.worst], options, WIDEST)
    title = f"{Path(path).name}, frame {worst.worst}, {worst.worst / fps:.2f} s"
    here = looked.index(worst.worst)
    drawn = png(heat_figure(picture, {name: values[here] for name, values in maps.items()}, title))
    if not video:
        return Heat(maps, drawn, b"")
    first = next(iter(maps.values()))
    nearest = np.searchsorted(looked, list(shown), side="right") - 1
    frames = (frame for _, frame in pictures(path, list(shown), options, WIDEST))
    return Heat(maps, drawn, overlay(frames, (first[place] for place in nearest), span(first), fps))
