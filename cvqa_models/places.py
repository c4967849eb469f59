"""Paths of files in checkpoints: saving leaves this machine's folders out, loading finds the files again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

FILES = ("weights", "base", "tuned", "path")  # how the names of arguments end whose values are files


def reaches_out(name: str) -> bool:
    """Return whether a name points outside the folders that are searched: an absolute path, `..`, `~`, or a URL."""
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    return name.startswith("~") or bool(windows.anchor) or ".." in windows.parts or ":/" in name or "\0" in name


def portable(arguments: Any, run: Path | None = None) -> Any:
    """Return plain, nested arguments without the folders of this machine.

    A file is named relative to the folder that holds the run, or else to the current folder; of a file elsewhere only
    the name is kept. This holds for every argument that is the path of an existing file, whatever the argument is
    called.

    Args:
        arguments: Arguments of a model.
        run: Folder of the run, if there is one.
    """

    def change(key: str, text: str) -> str:
        if not reaches_out(text) or "\0" in text:
            return text
        # Unlike `Path.expanduser`, it does not fail on the name of an unknown user.
        path = Path(os.path.normpath(Path.cwd() / os.path.expanduser(text)))  # noqa: PTH111
        if not path.exists():
            return PureWindowsPath(text).name if key.endswith(FILES) else text
        folders = [Path.cwd()] if run is None else [run.absolute().parent, Path.cwd()]
        near = [path.relative_to(folder) for folder in folders if path.is_relative_to(folder)]
        return near[0].as_posix() if near else path.name

    return _changed(arguments, change)


def named(arguments: Any) -> Any:
    """Return plain, nested arguments of another machine; files in folders unknown here keep only their names."""

    def change(key: str, text: str) -> str:
        return PureWindowsPath(text).name if key.endswith(FILES) and reaches_out(text) else text

    return _changed(arguments, change)


def located(arguments: Any, checkpoint: Path) -> Any:
    """Return plain, nested arguments with the paths of the files that lie in a checkpoint's run folder or beside it.

    Files in the current folder, and files that are not found, keep their names.

    Args:
        arguments: Arguments of a model; for none of them may `reaches_out` be true.
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
