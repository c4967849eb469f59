"""What `cvqa score` prints and writes: a row per file that has a score, a reason for each that has none."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cvqa_models.commands.timeline import Timeline, write_timelines
from cvqa_models.csv_table import csv_text
from cvqa_models.data.atomic import write_text
from cvqa_models.mistakes import printable
from cvqa_models.models.compression_level import MEASURES
from cvqa_models.types import Prediction


@dataclass
class Scores:
    """Scores so far.

    Attributes:
        column: Name of the score.
        rows: Row of each file that has a score, in the order given.
        timelines: Timeline of each file that has one.
        unscored: Reason for each file that has no score.
    """

    column: str
    rows: list[dict[str, object]] = field(default_factory=list)
    timelines: dict[str, Timeline] = field(default_factory=dict)
    unscored: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, found: Prediction | Timeline, notes: Sequence[str] = ()) -> None:
        """Add a file's score and print its row at once, so that nothing that comes later can cost it."""
        if isinstance(found, Timeline):
            self.timelines[str(path)] = found
            row: dict[str, object] = {"video": str(path), self.column: found.level}
        else:
            row = {"video": str(path), self.column: found.score, **found.details}
        row["notes"] = "; ".join(notes)
        self.rows.append(row)
        text = self._csv([row], header=len(self.rows) == 1)
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def write(self, csv_file: Path | None, json: Path | None, timeline: Path | None) -> None:
        """Write the files that were asked for, each whole."""
        if csv_file is not None:
            write_text(csv_file, self._csv(self.rows, header=True))
        if json is not None:
            measures = {"measures": MEASURES} if self.column == "compression_level" else {}
            write_text(json, json_format.dumps([{**row, **measures} for row in self.rows], indent=1) + "\n")
        if timeline is not None:
            write_timelines(timeline, self.timelines)

    def say(self, asked: int) -> None:
        """Tell on stderr what a level measures, and which of the `asked` files have no score."""
        if self.rows and self.column == "compression_level":
            sys.stderr.write(f"compression_level measures {MEASURES}.\n")
        if self.unscored:
            sys.stderr.write(f"{len(self.unscored)} of {asked} files have no score:\n")
        for reason in self.unscored.values():
            sys.stderr.write(f"cvqa: {printable(reason)}\n")

    def _csv(self, rows: list[dict[str, object]], *, header: bool) -> str:
        names = list(self.rows[0]) if self.rows else ["video", self.column, "notes"]
        return csv_text([*([names] if header else []), *([row.get(name, "") for name in names] for row in rows)])
