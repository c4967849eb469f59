"""Where the files lie that come with the project: inside an installed package, or beside it in a clone."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `configs` or `checkpoints` of this installation."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


CONFIGS = folder("configs")
CHECKPOINTS = folder("checkpoints")


def downloads() -> Path:
    """Return the folder for fetched weights: `checkpoints/` of a clone, else one of the user's own.

    An installed package is no place for them: it may be read-only, and is emptied by the next installation.
    """
    if CHECKPOINTS.parent != _PACKAGE:
        return CHECKPOINTS
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or os.path.expanduser("~/.cache")) / "cvqa_models"  # noqa: PTH111 - needs no home
