"""Videos that lie elsewhere, as files of this machine for as long as they are read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from cvqa_models.messages import OF_A_FILE, sentence
from cvqa_models.remote import copy_remote, remote


@contextmanager
def local(path: str | Path) -> Iterator[Path]:
    """Yield a file of this machine as it is, and one of an object store as a copy, which is removed after.

    Raises:
        FileNotFoundError: If there is nothing at an address.
        ValueError: If it cannot be read. Errors of those who read the copy name the address.
    """
    address = remote(path)
    if address is None:
        yield Path(path)
    else:
        with filled(address, partial(copy_remote, address), PurePosixPath(address).suffix) as copy:
            yield copy


@contextmanager
def local_if(path: str | None) -> Iterator[str | None]:
    """Yield what `local` does, as text, and None for no path."""
    if path is None:
        yield None
    else:
        with local(path) as file:
            yield str(file)


@contextmanager
def filled(name: str, fill: Callable[[BinaryIO], None], suffix: str) -> Iterator[Path]:
    """Yield a temporary file, filled; errors call it `name`."""
    # Some streams without a container are recognised only by their extension.
    kept = suffix if re.fullmatch(r"\.\w{1,5}", suffix) else ""
    with tempfile.NamedTemporaryFile(suffix=kept) as file:
        fill(file)  # type: ignore[arg-type]
        file.flush()
        try:
            yield Path(file.name)
        except OF_A_FILE as error:
            if file.name not in str(error):
                raise
            raise ValueError(sentence(error).replace(file.name, name)) from error
