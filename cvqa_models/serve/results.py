"""Results as tables, in the format of `cvqa score`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cvqa_models.serve.jobs import Found
from cvqa_models.tables import csv_text


def result_rows(jobs: Sequence[Found]) -> list[dict[str, Any]]:
    """Return a row for each job that is done: `video`, its score by name, details, and notes."""
    rows = []
    for job in jobs:
        if job.result is not None:
            values = {job.result["measure"]: job.result["score"], **job.result["details"]}
            rows.append({"video": job.name, **values, "notes": "; ".join(job.result["notes"])})
    return rows


def timelines_csv(jobs: Sequence[Found]) -> str:
    """Return a row for each part of the timelines of jobs that are done, as `cvqa score --timeline x.csv` writes it."""
    results = [job.result | {"video": job.name} for job in jobs if job.result is not None]
    measure = results[0]["measure"] if results else "score"
    names = ["start", "end", measure, "first_frame", "frames", "repeated_frames"]
    parts = [(result["video"], part) for result in results for part in result["timeline"]["parts"]]
    rows = [[video, *("" if part[name] is None else part[name] for name in names)] for video, part in parts]
    return csv_text([["video", *names], *rows])


def rows_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV that no spreadsheet runs as formulas; the columns are those of the first row."""
    names = list(rows[0]) if rows else ["video", "score", "notes"]
    return csv_text([names, *([row.get(name, "") for name in names] for row in rows)])
