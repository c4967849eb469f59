"""The compression level over time: one decode gives the score and a value per second."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cvqa_models.csv_table import csv_text
from cvqa_models.data.atomic import write_text
from cvqa_models.models.compression_level import CompressionLevelModel
from cvqa_models.video.frames import ClipsOverTime
from cvqa_models.video.reader import ReadOptions, iter_clips, probe
from cvqa_models.video.view import View

PAIRS_PER_SECOND = 2
COLUMNS = ("video", "start", "end", "compression_level")


@dataclass(frozen=True)
class Timeline:
    """The level of a video and of its seconds.

    Attributes:
        level: As without a timeline.
        duration: Length of the video in seconds.
        seconds: Level of each of its equal parts of about a second, in order.
    """

    level: float
    duration: float
    seconds: list[float]


def read_timeline(model: CompressionLevelModel, path: Path, options: ReadOptions) -> Timeline:
    """Return the level of a file and of each of its seconds, from one decode.

    Clips are scored as they come, so that memory does not grow with the length of the video.

    Raises:
        ValueError: If the file cannot be decoded, naming it and the reason.
    """
    whole = model.each_branch()["level"].view
    timeline = probe(path, options).timeline
    duration = timeline.duration
    count = max(1, round(duration))
    dense = View(ClipsOverTime(PAIRS_PER_SECOND * count, whole.frames.clip_length), whole.pixels)
    tokens: dict[str, dict[int, Tensor]] = defaultdict(dict)
    with torch.inference_mode():
        for key, index, clip in iter_clips(path, [whole, dense], options):
            tokens[key][index] = model.branches["level"].tokens(clip[None, None])[0, 0]  # type: ignore[operator]
        ordered = {key: torch.stack([found[index] for index in sorted(found)])[None] for key, found in tokens.items()}
        level = model.score({"level": ordered[whole.key]}).item()
        seconds = model.levels(ordered[dense.key]).view(count, PAIRS_PER_SECOND).mean(1).tolist()
    return Timeline(level, duration, seconds)


def write_timelines(path: Path, timelines: dict[str, Timeline]) -> None:
    """Write the seconds of videos as JSON if `path` ends so, else as CSV with `COLUMNS`."""
    rows = [
        {
            "video": video,
            "start": round(part * one.duration / len(one.seconds), 3),
            "end": round((part + 1) * one.duration / len(one.seconds), 3),
            "compression_level": level,
        }
        for video, one in timelines.items()
        for part, level in enumerate(one.seconds)
    ]
    if path.suffix == ".json":
        write_text(path, json.dumps(rows, indent=1) + "\n")
    else:
        write_text(path, csv_text([COLUMNS, *(list(row.values()) for row in rows)]))
