"""Files of a build: whole or absent, whatever moment the power fails, and of one builder at a time."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from cvqa_models.csv_table import frame_text
from cvqa_models.data.atomic import install, write_text


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as `folder`, whose files may be renamed into place; it is removed after.

    Raises:
        ValueError: If `folder` cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = tempfile.TemporaryDirectory(prefix=".partial-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise ValueError(
            f"'{folder}' cannot be written ({error.strerror}); free space or choose another folder."
        ) from error
    with partial as name:
        yield Path(name)


@contextlib.contextmanager
def building(root: Path) -> Iterator[None]:
    """Be the one builder of a folder until the block ends, or this process does, however it ends.

    What killed builders left in it is removed first: the system gives a lock back when its owner dies, so nobody
    writes there any more.

    Raises:
        ValueError: If another process is building there, or the folder cannot be written.
    """
    lock = FileLock(root / ".build.lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another process is building in '{root}'; wait until it has ended, or choose another folder."
        ) from None
    except OSError as error:
        raise ValueError(
            f"'{root}' cannot be written ({error.strerror}); free space or choose another folder."
        ) from error
    try:
        for partial in (*root.glob(".partial-*"), *root.glob("*/.partial-*")):
            shutil.rmtree(partial, ignore_errors=True)
        yield
    finally:
        lock.release()


def keep(part: Path, target: Path) -> None:
    """Move a finished file from a scratch folder to its place.

    Raises:
        ValueError: If the disk refuses.
    """
    try:
        install(part, target)
    except OSError as error:
        raise ValueError(
            f"'{target}' cannot be written ({error.strerror}); free space or choose another folder."
        ) from error


def read_card(path: Path) -> Any:
    """Return the content of a card, or None if there is none, or no whole one, so that its work is done again."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file without an index column in one step."""
    write_text(path, frame_text(table))


def remember(root: Path, settings: dict[str, object]) -> None:
    """Keep the settings of a build in `root/build.json`, so that one folder never mixes two of them.

    Raises:
        ValueError: If the folder was built with other settings.
    """
    card = root / "build.json"
    if (old := read_card(card)) is not None and old != settings:
        changed = [f"{key}={old.get(key)!r}" for key in settings if old.get(key) != settings[key]]
        raise ValueError(
            f"'{root}' was built with {', '.join(changed) or 'other settings'}; use these settings or another folder."
        )
    write_json(card, settings)
