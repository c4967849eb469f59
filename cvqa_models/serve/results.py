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


def rows_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV that no spreadsheet runs as formulas; the columns are those of the first row."""
    names = list(rows[0]) if rows else ["video", "score", "notes"]
    return csv_text([names, *([row.get(name, "") for name in names] for row in rows)])
