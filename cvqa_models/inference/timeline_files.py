"""Write timelines as CSV, as JSON, or as the JSON of a VMAF log, which viewers of such logs can open."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cvqa_models import __version__
from cvqa_models.files import write_text
from cvqa_models.inference.timeline import Part, Timeline
from cvqa_models.tables import csv_text

VMAF_LOG = ".vmaf.json"


def write_timelines(path: Path, timelines: Mapping[str, Timeline], name: str = "score") -> None:
    """Write the timelines of videos: a VMAF log if `path` ends so (`.vmaf.json`), else JSON (`.json`), else CSV.

    Args:
        path: The file.
        timelines: Video -> its timeline.
        name: Name of the score, used if there is no timeline.

    Raises:
        ValueError: If a VMAF log is requested for none or several videos.
    """
    if path.name.endswith(VMAF_LOG):
        if len(timelines) != 1:
            raise ValueError(f"A VMAF log is of one video, and `{path}` would be of {len(timelines)}; name one video.")
        write_text(path, json.dumps(vmaf_log(*timelines.values()), indent=1) + "\n")
    elif path.suffix == ".json":
        content = [{"video": video, **payload(one)} for video, one in timelines.items()]
        write_text(path, json.dumps(content, indent=1) + "\n")
    else:
        name = next((one.name for one in timelines.values()), name)
        rows = [[video, *_row(part)] for video, one in timelines.items() for part in one.parts]
        write_text(path, csv_text([("video", "start", "end", name, "first_frame", "frames", "repeated_frames"), *rows]))


def payload(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as plain values, with null for a part without a score."""
    return {
        "per": timeline.per,
        timeline.name: timeline.score,
        "duration": round(timeline.duration, 3),
        "fps": round(timeline.fps, 6),
        "pooled": {name: _or_none(value) for name, value in timeline.pooled.items()},
        "cuts": [round(cut, 3) for cut in timeline.cuts],
        "freezes": [[round(start, 3), round(end, 3)] for start, end in timeline.freezes],
        "frozen_seconds": round(timeline.frozen_seconds, 3),
        "repeated_frames": timeline.repeated,
        "parts": [
            {
                "start": round(part.start, 3),
                "end": round(part.end, 3),
                timeline.name: _or_none(part.value),
                "first_frame": part.first,
                "frames": part.frames,
                "repeated_frames": part.repeated,
                "worst_frame": part.worst,
            }
            for part in timeline.parts
        ],
    }


def vmaf_log(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline in the shape of libvmaf's JSON log, with the rate of the video as `fps`.

    Each frame has the value of its part. Frames without a value are left out, as libvmaf leaves out frames that it does
    not sample. `pooled_metrics` holds low percentiles in addition to libvmaf's four values.
    """
    frames = [
        {"frameNum": number, "metrics": {timeline.name: part.value}}
        for part in timeline.parts
        if not math.isnan(part.value)
        for number in range(part.first, part.first + part.frames)
    ]
    return {
        "version": f"cvqa_models {__version__}",
        "fps": round(timeline.fps, 6),
        "frames": frames,
        "pooled_metrics": {timeline.name: {name: _or_none(value) for name, value in timeline.pooled.items()}},
        "aggregate_metrics": {},
    }


def _row(part: Part) -> list[object]:
    value = "" if math.isnan(part.value) else part.value
    return [round(part.start, 3), round(part.end, 3), value, part.first, part.frames, part.repeated]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
