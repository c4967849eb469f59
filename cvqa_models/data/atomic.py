"""Files that are there whole or not at all."""

from __future__ import annotations

import glob
import os
from pathlib import Path


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all, through a temporary file beside it; parent folders are made.

    A temporary file that an earlier, killed writer of the same file left behind is removed.

    Raises:
        ValueError: If the folder cannot be written or the disk is full.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            leftover.unlink(missing_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"'{target}' cannot be written ({error.strerror}); free space or choose another folder. Nothing was left "
            "half-written."
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))
