"""Rows of bulk work: a JSON object per line. Each is written once its video is done, so no later error loses it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvqa_models.data.shards import Shard
from cvqa_models.files import sole_owner

Row = dict[str, Any]
_FLUSH = 1.0  # seconds between two requests to the disk to store what was written


def part_path(out: Path, shard: Shard) -> Path:
    """Return the file of a shard: `out` itself if there is only one shard, else `STEM.part-i-of-n.jsonl` next to it."""
    if shard[1] == 1:
        return out
    return out.with_name(f"{out.stem}.part-{shard[0] + 1}-of-{shard[1]}{out.suffix}")


def parts_of(out: Path) -> dict[Path, Shard]:
    """Return the existing files of an output: the output itself, and its parts, for any number of shards."""
    pattern = re.compile(rf"{re.escape(out.stem)}\.part-(\d+)-of-(\d+){re.escape(out.suffix)}")
    found = {out: (0, 1)} if out.is_file() else {}
    for path in sorted(out.parent.glob("*")) if out.parent.is_dir() else []:
        match = pattern.fullmatch(path.name)
        if match:
            found[path] = (int(match[1]) - 1, int(match[2]))
    return found


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file. A last line without an end is skipped: it is being written, or its writer was killed.

    Raises:
        ValueError: If a line is not a row.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"'{path}' line {number} is no row of JSON ({error}); remove the line.") from error
            if not isinstance(row, dict) or not {"video", "by"} <= row.keys():
                raise ValueError(f"'{path}' line {number} is no row of `cvqa score --out`; choose another file.")
            yield row


def finished(out: Path, by: str) -> dict[str, str]:
    """Return the videos that have a row in an output or one of its parts, each with its fault, empty for a score.

    Args:
        out: The output.
        by: What makes the rows (see `Job.made_by`).

    Raises:
        ValueError: If a row was made by another model, version or decoder.
    """
    done: dict[str, str] = {}
    for path in parts_of(out):
        for row in read_rows(path):
            if row["by"] != by:
                raise ValueError(
                    f"'{path}' holds rows made by {row['by']!r}, and this run is {by!r}, whose scores do not compare; "
                    "give another `--out`, or move that file away."
                )
            if done.get(row["video"], "a fault"):  # a score replaces a fault, which was tried again
                done[row["video"]] = row.get("fault", "")
    return done


@contextmanager
def appending(path: Path) -> Iterator[Callable[[Row], None]]:
    """Yield a function that writes a row, whole or not at all. Only one process at a time can have a file open.

    An incomplete line that a killed writer left is removed.

    Args:
        path: The file; its folder is made.

    Raises:
        ValueError: If another process has it open, or it cannot be written, as when the disk is full.
    """
    refusal = f"'{path}' is being written by another process; wait for it, or give another `--out`."
    flushed = 0.0

    def append(row: Row) -> None:
        nonlocal flushed
        place = os.fstat(file.fileno()).st_size
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        try:
            while line:  # if only a part was written, the next call raises the reason
                line = line[file.write(line) :]
            if time.monotonic() - flushed > _FLUSH:
                os.fsync(file.fileno())
                flushed = time.monotonic()
        except OSError:
            os.truncate(file.fileno(), place)
            raise

    with sole_owner(path.with_name(f".{path.name}.lock"), refusal):
        try:
            with path.open("ab", buffering=0) as file:
                os.truncate(file.fileno(), _end_of_rows(path))
                yield append
        except OSError as error:
            raise ValueError(
                f"'{path}' cannot be written ({error.strerror}); free space or choose another folder, and run the "
                "same again: what is done is kept."
            ) from error


def _end_of_rows(path: Path) -> int:
    """Return where the last whole line of a file ends."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        while place > 0:
            start = max(0, place - 65536)
            file.seek(start)
            found = file.read(place - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            place = start
    return 0
