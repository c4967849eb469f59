"""The output of `cvqa score`: a row per file with a score, and a reason for each file without one."""

from __future__ import annotations

import json as json_format
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cvqa_models.files import write_bytes, write_text
from cvqa_models.inference.scorer import Score
from cvqa_models.inference.timeline import Timeline
from cvqa_models.inference.timeline_files import write_timelines
from cvqa_models.messages import printable
from cvqa_models.models.shipped_level import MEASURES
from cvqa_models.tables import csv_text
from cvqa_models.video.pixel_rules import Frame

PLOTS = (".png", ".svg")


@dataclass
class Scores:
    """Scores so far.

    Attributes:
        column: Name of the score.
        display: Lines of the screen on which the videos are watched; None for the videos' own lines.
        rows: Row of each file that has a score, in the order given.
        timelines: Timeline of each file that has one.
        stills: Frames of the worst parts of each file, if a plot shows them.
        unscored: Reason for each file that has no score.
    """

    column: str
    display: int | None = None
    rows: list[dict[str, object]] = field(default_factory=list)
    timelines: dict[str, Timeline] = field(default_factory=dict)
    stills: dict[str, list[Frame]] = field(default_factory=dict)
    unscored: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, found: Score, *, over_time: bool = False) -> None:
        """Add a file's score and print its row at once, so that no later error loses it.

        Args:
            path: The file.
            found: Its score.
            over_time: Whether the row also has the columns of a timeline.
        """
        columns: dict[str, float | None] = {self.column: found.value, **found.details}
        if over_time and found.timeline is not None:
            self.timelines[path] = found.timeline
            columns |= beside(found.timeline)
        self._put(path, columns, found.notes)

    def add_together(self, path: str, found: Mapping[str, Score]) -> None:
        """Add a file's scores by several models: a column for each model, and one for each `MODEL.DETAIL`."""
        values: dict[str, float] = {}
        for name, score in found.items():
            values |= {name: score.value, **{f"{name}.{detail}": value for detail, value in score.details.items()}}
        self._put(path, values, next(iter(found.values())).notes)

    def _put(self, path: str, values: Mapping[str, float | None], notes: Sequence[str]) -> None:
        row: dict[str, object] = {"video": path, **values}
        if self.display is not None:
            row["display"] = self.display
        row["notes"] = "; ".join(notes)
        self.rows.append(row)
        text = self._csv([row], header=len(self.rows) == 1)
        sys.stdout.write("\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text)
        sys.stdout.flush()

    def write(self, csv_file: Path | None, json: Path | None, timeline: Sequence[Path]) -> None:
        """Write the requested files, each whole or not at all."""
        if csv_file is not None:
            write_text(csv_file, self._csv(self.rows, header=True))
        if json is not None:
            measures = {"measures": MEASURES} if self.column == "compression_level" else {}
            write_text(json, json_format.dumps([{**row, **measures} for row in self.rows], indent=1) + "\n")
        for path in timeline:
            if path.suffix not in PLOTS:
                write_timelines(path, self.timelines, self.column)
            elif self.timelines:
                from cvqa_models.report.plots import png, svg
                from cvqa_models.report.timeline_plots import timeline_figure

                save = svg if path.suffix == ".svg" else png
                write_bytes(path, save(timeline_figure(self.timelines, self.stills)))

    def say(self, asked: int) -> None:
        """Print on stderr what a level measures, and which of the `asked` files have no score."""
        if self.rows and self.column == "compression_level":
            sys.stderr.write(f"compression_level measures {MEASURES}.\n")
        if self.unscored:
            sys.stderr.write(f"{len(self.unscored)} of {asked} files have no score:\n")
        for reason in self.unscored.values():
            sys.stderr.write(f"cvqa: {printable(reason)}\n")

    def _csv(self, rows: list[dict[str, object]], *, header: bool) -> str:
        names = list(self.rows[0]) if self.rows else ["video", self.column, "notes"]
        return csv_text([*([names] if header else []), *([row.get(name, "") for name in names] for row in rows)])


def beside(timeline: Timeline) -> dict[str, float | None]:
    """Return the values for a row with a timeline: pooled scores, frozen seconds and repeated frames.

    The harmonic mean is None if scores may be below 0; all pooled values are None for a timeline without scores.
    """
    told = {name: value if math.isfinite(value) else None for name, value in timeline.pooled.items()}
    columns = {name: value for name, value in told.items() if name != "max"}
    return columns | {"frozen_seconds": round(timeline.frozen_seconds, 3), "repeated_frames": timeline.repeated}
