"""Files that are either whole or absent, whatever moment the power fails."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from cvqa_models.csv_table import frame_text
from cvqa_models.data.atomic import write_text


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as `folder`, whose files may be renamed into place; it is removed after.

    Raises:
        ValueError: If `folder` cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"'{folder}' cannot be made ({error.strerror}); choose another folder.") from error
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
        yield Path(partial)


def clear_scratch(folder: Path) -> None:
    """Remove what killed runs left in `folder`."""
    for partial in folder.glob(".partial-*"):
        shutil.rmtree(partial, ignore_errors=True)


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
    if card.is_file() and (old := json.loads(card.read_text())) != settings:
        changed = [f"{key}={old.get(key)!r}" for key in settings if old.get(key) != settings[key]]
        raise ValueError(
            f"'{root}' was built with {', '.join(changed) or 'other settings'}; use these settings or another folder."
        )
    write_json(card, settings)
