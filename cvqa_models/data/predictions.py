"""Tables of predictions: one row per video, with its score."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cvqa_models.files import write_text
from cvqa_models.tables import csv_text, numbers, read_csv
from cvqa_models.types import Prediction


def write_predictions(path: str | Path, predictions: Iterable[Prediction]) -> None:
    """Write `video_id,score` and any details as CSV, sorted by video_id, each video once.

    Raises:
        ValueError: If the file cannot be written.
    """
    rows = {p.video_id: {"video_id": p.video_id, "score": p.score, **p.details} for p in reversed(list(predictions))}
    ordered = [rows[name] for name in sorted(rows)]
    header = list(ordered[0]) if ordered else ["video_id", "score"]
    write_text(path, csv_text([header, *([row.get(name, "") for name in header] for row in ordered)]))


def read_predictions(path: str | Path) -> dict[str, float]:
    """Return video_id -> score of a predictions file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a score is missing or not a number, or a video is repeated.
    """
    table = read_csv(path, ["video_id", "score"])
    names = table["video_id"].tolist()
    result = dict(zip(names, numbers(table, "score", path).tolist(), strict=True))
    if len(result) < len(names):
        seen: set[str] = set()
        for row, name in enumerate(names, start=1):
            if name in seen:
                raise ValueError(f"'{path}' row {row}: {name!r} stands twice; keep one score per video.")
            seen.add(name)
    return result
