"""Join the parts of a bulk run to one file, and report what is missing."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from cvqa_models.data.rows import Row, parts_of, read_rows
from cvqa_models.files import whole
from cvqa_models.tables import csv_text


@dataclass(frozen=True)
class Merged:
    """The joined rows and what is missing.

    Attributes:
        rows: One per video, sorted by its name.
        faults: Reason for each video that has no score.
        missing: Requested videos that have no row.
        absent: Parts that have no file, each as `i/n`.
    """

    rows: list[Row]
    faults: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def merge(out: Path, videos: Collection[str] = ()) -> Merged:
    """Write the rows of an output and its parts, sorted by video, to the output itself, whole or not at all.

    If a video has two rows, one with a score is taken before one with a fault; else the later row is taken. Rows by the
    same model are equal, so parts from runs with different numbers of shards can be joined.

    Args:
        out: The output, as given to the bulk runs; its parts lie next to it.
        videos: Ids that should have a row.

    Raises:
        FileNotFoundError: If there is neither the output nor a part.
        ValueError: If a line is not a row, models differ, or the file cannot be written.
    """
    parts = parts_of(out)
    if not parts:
        raise FileNotFoundError(f"There is no '{out}' and no part of it; give what `cvqa score --out` was given.")
    found: dict[str, Row] = {}
    makers: dict[str, Path] = {}
    for path in parts:
        for row in read_rows(path):
            makers.setdefault(row["by"], path)
            if "fault" not in row or "fault" in found.get(row["video"], {"fault": ""}):
                found[row["video"]] = row
    if len(makers) > 1:
        (one, here), (other, there) = list(makers.items())[:2]
        raise ValueError(
            f"'{here}' holds rows made by {one!r} and '{there}' rows made by {other!r}, whose scores do not compare; "
            "move one of them away."
        )
    rows = [found[video] for video in sorted(found)]
    with whole(out) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    faults = {row["video"]: row["fault"] for row in rows if "fault" in row}
    counts = {count for _, count in parts.values() if count > 1}
    whole_set = {(number, count) for number, count in parts.values()}
    absent = [f"{n + 1}/{count}" for count in sorted(counts) for n in range(count) if (n, count) not in whole_set]
    return Merged(rows, faults, [video for video in videos if video not in found], absent)


def table_of(rows: Collection[Row]) -> str:
    """Return the rows with a score as CSV for `cvqa evaluate`: `video_id`, `score`, and all other values of the rows.

    Args:
        rows: Rows of one model.
    """
    scored = [row for row in rows if "score" in row]
    names = dict.fromkeys(name for row in scored for name in row if name not in ("video", "by", "notes", "score"))
    lines = [
        [row["video"], row["score"], *(row.get(name, "") for name in names), "; ".join(row["notes"])] for row in scored
    ]
    return csv_text([["video_id", "score", *names, "notes"], *lines])
