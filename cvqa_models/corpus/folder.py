"""Files of a build: each is complete or absent, even after a power failure, and only one process builds at a time."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cvqa_models.files import install, sole_owner, write_json, write_text
from cvqa_models.tables import frame_text


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as `folder`, from which files can be renamed into place; it is removed after.

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
    """Lock a folder for this builder until the block or this process ends, even if the process is killed.

    First the temporary files of killed builders are removed. The system frees a lock when its owner dies, so no process
    writes there any more.

    Raises:
        ValueError: If another process is building there, or the folder cannot be written.
    """
    refusal = f"Another process is building in '{root}'; wait until it has ended, or choose another folder."
    with sole_owner(root / ".build.lock", refusal):
        for partial in (*root.glob(".partial-*"), *root.glob("*/.partial-*")):
            shutil.rmtree(partial, ignore_errors=True)
        yield


def keep(part: Path, target: Path) -> None:
    """Move a finished file from a scratch folder to its place.

    Raises:
        ValueError: If the file cannot be moved, as on a full disk.
    """
    try:
        install(part, target)
    except OSError as error:
        raise ValueError(
            f"'{target}' cannot be written ({error.strerror}); free space or choose another folder."
        ) from error


def read_card(path: Path) -> Any:
    """Return the content of a card, or None if it is missing or incomplete: its work is then done again."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file without an index column in one step."""
    write_text(path, frame_text(table))


def remember(root: Path, settings: dict[str, object]) -> None:
    """Store the settings of a build in `root/build.json`, so that a folder never mixes two builds.

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
