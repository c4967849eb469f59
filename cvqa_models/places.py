"""Where files lie on a machine: left out of what is passed on, and found again by their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

FILES = ("weights", "base", "tuned", "path")  # last words of arguments that name files


def reaches_out(name: str) -> bool:
    """Return whether a name leaves the folders where files are looked for: an absolute path, `..`, `~`, or a URL."""
    windows = PureWindowsPath(name)  # knows both kinds of slash
    return name.startswith("~") or bool(windows.anchor) or ".." in windows.parts or "://" in name or "\0" in name


def portable(arguments: Any, run: Path | None = None) -> Any:
    """Return plain arguments, nested, without the places of this machine's files.

    A file is named relative to the folder that holds the run, or to the current one; one that lies elsewhere keeps its
    name alone. Every argument that is the path of an existing file counts, whatever it is called.

    Args:
        arguments: Arguments of a model.
        run: Folder of the run, if there is one.
    """

    def change(key: str, text: str) -> str:
        if not reaches_out(text) or "\0" in text:
            return text
        # Unlike `Path.expanduser`, it leaves the name of a user who is not here.
        path = Path(os.path.normpath(Path.cwd() / os.path.expanduser(text)))  # noqa: PTH111
        if not path.exists():
            return PureWindowsPath(text).name if key.endswith(FILES) else text
        folders = [Path.cwd()] if run is None else [run.absolute().parent, Path.cwd()]
        near = [path.relative_to(folder) for folder in folders if path.is_relative_to(folder)]
        return near[0].as_posix() if near else path.name

    return _changed(arguments, change)


def named(arguments: Any) -> Any:
    """Return plain arguments from another machine, nested, in which files of unknown places go by their names alone."""

    def change(key: str, text: str) -> str:
        return PureWindowsPath(text).name if key.endswith(FILES) and reaches_out(text) else text

    return _changed(arguments, change)


def located(arguments: Any, checkpoint: Path) -> Any:
    """Return plain arguments, nested, with the paths of files that lie in a checkpoint's run folder or beside it.

    Files that lie in the current folder, and those that are not found, go by their names as before.

    Args:
        arguments: Arguments of a model, none of which reaches out.
        checkpoint: RUN/checkpoints/NAME, or RUN/NAME.
    """
    run = checkpoint.absolute().parent
    run = run.parent if run.name == "checkpoints" else run

    def change(key: str, text: str) -> str:
        if not key.endswith(FILES) or Path(text).exists():
            return text
        found = [folder / text for folder in (run, run.parent) if (folder / text).exists()]
        return str(found[0]) if text and found else text

    return _changed(arguments, change)


def _changed(value: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _changed(item, change, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_changed(item, change, key) for item in value)
    return change(key, value) if isinstance(value, str) else value
