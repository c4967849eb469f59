"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import re
import secrets
from pathlib import Path
from typing import BinaryIO

_PART = re.compile(r"\.[0-9a-f]{16}\.part|\..+\.\d+\.part")  # the second spelling is that of older versions
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # what disks without locks answer


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all, through a temporary file beside it; parent folders are made.

    Writers of the same file do not disturb each other: each has a temporary file of its own, and the last to finish
    is the one that stays. What a killed writer left in the folder is removed. A link is followed; a device or pipe is
    written as it is.

    Raises:
        ValueError: If the folder cannot be written or the disk is full; the file is then as it was before.
    """
    target = Path(os.path.realpath(path))
    try:
        if Path(path).exists() and not target.is_file() and not target.is_dir():
            Path(path).write_bytes(content)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_parts(str(target.parent))
        part, file = _new_part(target.parent)
        try:
            with file:
                file.write(content)
                file.flush()
                install(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be written ({error.strerror}); free space or choose another folder. Nothing was left "
            "half-written."
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def install(part: Path, target: Path) -> None:
    """Give a finished file its name, in the same folder or another of the same disk, and have the disk keep both.

    Raises:
        OSError: If the disk fails or refuses.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks know no such thing
            raise
    finally:
        os.close(folder)


def _new_part(folder: Path) -> tuple[Path, BinaryIO]:
    """Return a new temporary file, locked for as long as it is open, which tells others that its owner lives."""
    while True:
        part = folder / f".{secrets.token_hex(8)}.part"
        file = part.open("xb")
        _lock(file.fileno())
        if _is_named(part, file.fileno()):  # else somebody took it for a dead owner's before it was locked
            return part, file
        file.close()


def _lock(file: int) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_named(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


@functools.lru_cache(maxsize=4096)
def _clear_parts(folder: str) -> None:
    """Remove what killed writers left in a folder, once per process: a lock that can be had has no living owner."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _PART.fullmatch(entry.name):
                with contextlib.suppress(OSError), Path(entry.path).open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()
