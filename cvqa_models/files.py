"""Write files whole or not at all, compute their digests, and lock a folder for one owner."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cvqa_models.remote import remote

_PART = re.compile(r"\.[0-9a-f]{16}\.part|\..+\.\d+\.part")  # the second spelling is from older versions
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # errors of disks that have no locks


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a file to write to. It replaces `path` when the block ends; if the block fails, `path` stays as it was.

    Until then it is a temporary file in the same folder; parent folders are made. Several writers of the same path do
    not disturb each other: each has its own temporary file, and the file of the last one to finish stays. Temporary
    files that killed writers left in the folder are removed. A link is followed; a device or pipe is written directly.

    Raises:
        ValueError: If the folder cannot be written or the disk is full; the file is then as it was before.
    """
    target = Path(os.path.realpath(path))
    try:
        if Path(path).exists() and not target.is_file() and not target.is_dir():
            with Path(path).open("wb") as device:
                yield device
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_parts(str(target.parent))
        part, file = _new_part(target.parent)
        try:
            with file:
                yield file
                file.flush()
                install(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be written ({error.strerror}); free space or choose another folder. Nothing was left "
            "half-written."
        ) from error


def check_there(kind: str, *paths: str | Path | None) -> None:
    """Raise a FileNotFoundError that names the first missing one of `paths`; None and addresses are skipped.

    A command calls it before its slow imports.

    Args:
        kind: What the path stands for, such as `table`.
        paths: Files or folders.
    """
    for path in paths:
        if path is not None and remote(path) is None and not Path(path).exists():
            raise FileNotFoundError(f"There is no {kind} '{path}'; check the path.")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all; see `whole`."""
    with whole(path) as file:
        file.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; see `whole`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, content: object) -> None:
    """Write a JSON file whole or not at all; see `whole`."""
    write_text(path, json.dumps(content, indent=1) + "\n")


@contextlib.contextmanager
def sole_owner(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file until the block or this process ends, even if the process is killed.

    The system frees the lock when its owner dies. On a disk that has no locks, nothing is locked.

    Args:
        lock: File of the lock; its folder is made, and the file is left there.
        refusal: What to say if another process holds it.

    Raises:
        ValueError: If another process holds it, or the folder cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("ab")
    except OSError as error:
        raise ValueError(
            f"'{lock.parent}' cannot be written ({error.strerror}); free space or choose another folder."
        ) from error
    with file:
        try:
            _lock(file.fileno(), wait=False)
        except BlockingIOError:
            raise ValueError(refusal) from None
        yield


def install(part: Path, target: Path) -> None:
    """Give a finished file its final name, on the same disk, and have the disk store both the content and the name.

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
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot do this
            raise
    finally:
        os.close(folder)


def sha256(path: str | Path) -> str:
    """Return the digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _new_part(folder: Path) -> tuple[Path, BinaryIO]:
    """Return a new temporary file, locked while it is open: the lock tells other writers that its owner still runs."""
    while True:
        part = folder / f".{secrets.token_hex(8)}.part"
        file = part.open("xb")
        _lock(file.fileno())
        if _is_named(part, file.fileno()):  # else another process removed it before the lock: it had no owner yet
            return part, file
        file.close()


def _lock(file: int, *, wait: bool = True) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    """Remove temporary files of killed writers in a folder, once per process: one that can be locked has no owner."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _PART.fullmatch(entry.name):
                with contextlib.suppress(OSError), Path(entry.path).open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()
