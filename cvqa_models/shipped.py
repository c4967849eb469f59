"""Find the files that come with the project: they lie inside an installed package, or beside it in a clone."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `configs` or `checkpoints` of this installation."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


CONFIGS = folder("configs")
CHECKPOINTS = folder("checkpoints")


# Where a bare name is searched: complete systems before parts. Tiny test systems need their folder in the name.
_ORDER = ("model", "data", "trainer", "pretrain", "experiment", "experiment/variants", "build")


def find_config(name: str | Path) -> Path:
    """Return the configuration that a name means: the user's file, else one that comes with the project.

    Args:
        name: Path of a file, or the name of a shipped one, with or without its folder, such as `tiny/flagship.yaml` or
            `flagship`.

    Raises:
        FileNotFoundError: If neither exists; the message names similar names.
        ValueError: If this installation lacks its configurations.

    Example:
        >>> find_config("flagship").name
        'flagship.yaml'
    """
    if os.path.isfile(name):  # noqa: PTH113 - it also allows a name that is too long
        return Path(name)
    if not CONFIGS.is_dir():
        raise ValueError(f"There is no configuration '{name}', nor the folder '{CONFIGS}'; install cvqa_models again.")
    spelled = str(name).removesuffix(".yaml") + ".yaml"
    shipped = {path.relative_to(CONFIGS).as_posix(): path for path in sorted(CONFIGS.rglob("*.yaml"))}
    for key in (spelled.removeprefix("configs/"), *(f"{room}/{spelled}" for room in _ORDER)):
        if key in shipped:
            return shipped[key]
    names = [*shipped, *(Path(key).name for key in shipped)]
    near = list(dict.fromkeys(difflib.get_close_matches(spelled, names, n=3)))
    hint = f"did you mean {' or '.join(near)}?" if near else "`cvqa config` lists those that come with the project."
    raise FileNotFoundError(f"There is no configuration '{name}'; {hint}")


def downloads() -> Path:
    """Return the folder for fetched weights: `checkpoints/` of a clone, else a folder in the user's cache.

    They are not put into an installed package: it may be read-only, and the next installation empties it.
    """
    if CHECKPOINTS.parent != _PACKAGE:
        return CHECKPOINTS
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or os.path.expanduser("~/.cache")) / "cvqa_models"  # noqa: PTH111 - it also works without a home


def with_configs(words: list[str]) -> list[str]:
    """Return the words with `--config A B` as `--config A --config B`, and with paths in place of shipped names.

    Raises:
        FileNotFoundError: If there is no such configuration.
    """
    found: list[str] = []
    reading = False  # whether the words are files of a `--config`
    for word in words:
        name, equals, given = word.partition("=")
        if name in ("--config", "-c"):
            reading = True
            found += [f"--config={find_config(given)}"] if equals else []
        elif word.startswith("-") or not reading:
            reading = False
            found.append(word)
        else:
            found.append(f"--config={find_config(word)}")
    return found
