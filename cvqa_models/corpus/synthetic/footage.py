"""Windows of real footage: what photographs in motion do not have, such as faces, leaves, water and real noise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from cvqa_models.corpus import ffmpeg
from cvqa_models.data.videos import index_videos
from cvqa_models.video.h273 import HDR_NAMES

USUAL_RATE = Fraction(25)  # of a file that does not say its rate


@dataclass(frozen=True)
class Footage:
    """A file of real footage.

    Attributes:
        path: The file.
        width: Columns.
        height: Rows.
        fps: Frames a second.
        frames: Number of frames.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int


@dataclass(frozen=True)
class Window:
    """A part of a piece of footage.

    Attributes:
        footage: The piece.
        first: Number of its first frame.
        scale: Size at which the footage is cut, as a share of its own.
        across: Place of the window, from left (0) to right (1).
        down: Place of the window, from top (0) to bottom (1).
    """

    footage: Footage
    first: int
    scale: float
    across: float
    down: float

    def filters(self, width: int, height: int, frames: int) -> str:
        """Return FFmpeg's filters that cut this window of that size and length."""
        sides = [2 * round(side * self.scale / 2) for side in (self.footage.width, self.footage.height)]
        sides = [max(side, least) for side, least in zip(sides, (width, height), strict=True)]
        return (
            f"trim=start_frame={self.first}:end_frame={self.first + frames},setpts=N/({self.footage.fps})/TB,"
            f"scale={sides[0]}:{sides[1]}:flags=bicubic,"
            f"crop={width}:{height}:{round((sides[0] - width) * self.across)}:{round((sides[1] - height) * self.down)}"
        )


def find_footage(folder: Path, frames: int) -> tuple[list[Footage], dict[str, str]]:
    """Return the SDR videos in a folder that have so many frames, sorted by name, and why the others are left out.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no such video.
    """
    found, faults = [], {}
    for name, path in index_videos(folder).items():
        try:
            facts = ffmpeg.inspect(path)
        except ValueError as error:
            faults[name] = str(error)
            continue
        if len(facts.times) < frames:
            faults[name] = f"'{path}' has {len(facts.times)} frames; a scene needs {frames}."
        elif facts.transfer in HDR_NAMES:
            faults[name] = f"'{path}' is HDR ({facts.transfer}); convert it to SDR first."
        else:
            found.append(Footage(path, facts.width, facts.height, facts.rate or USUAL_RATE, len(facts.times)))
    if not found:
        raise ValueError(f"'{folder}' holds no footage that can be used: {next(iter(faults.values()))}")
    return found, faults


def random_window(footage: Footage, size: tuple[int, int], frames: int, rng: np.random.Generator) -> Window:
    """Return a random window: from the whole picture, made smaller, to single pixels as they are.

    Args:
        footage: What it shows.
        size: Its columns and rows.
        frames: Its length.
        rng: Generator of the draws.
    """
    whole = min(1.0, max(size[0] / footage.width, size[1] / footage.height))
    scale = float(whole ** rng.uniform(0, 1))
    first = int(rng.integers(footage.frames - frames + 1))
    across, down = rng.uniform(0, 1, 2).tolist()
    return Window(footage, first, scale, across, down)
