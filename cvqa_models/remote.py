"""Files in object stores (s3://, gs:// and the like), by fsspec: tables are read from there, and videos copied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from cvqa_models.extras import load_extra

CLIENTS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""Kind of address -> package that reads it. What else fsspec knows is not taken: some of it runs or rewrites things."""

_ADDRESS = re.compile(rf"({'|'.join(CLIENTS)}):/+(.+)", re.DOTALL)
_BLOCK = 1 << 20  # bytes that are held in memory


def remote(path: str | Path) -> str | None:
    """Return the address that a path is, None if it is one of this machine; `Path` makes `s3:/` of `s3://`."""
    found = _ADDRESS.fullmatch(str(path))
    return f"{found[1]}://{found[2]}" if found else None


def beside(table: str | Path, name: str) -> str | None:
    """Return the address of a file that a table names, counted from the table's; None if it is one of this machine."""
    base = remote(table)
    if remote(name) or base is None:
        return remote(name)
    return f"{base.rpartition('/')[0]}/{name}"


def read_remote(address: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read, or the package that reads it is not installed.
    """
    with _said(address) as system:
        content: bytes = system.cat_file(address)
        return content


def copy_remote(address: str, target: BinaryIO) -> None:
    """Write the content of a file into another; errors are those of `read_remote`."""
    with _said(address) as system, system.open(address, "rb") as source:
        size = system.size(address)
        while block := source.read(_BLOCK):
            target.write(block)
    if target.tell() != size:
        raise ValueError(f"'{address}' gave {target.tell()} of {size} bytes; try again.")


def list_remote(address: str) -> list[str]:
    """Return the addresses of all files below a folder, sorted, those that are hidden left out.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it cannot be read, or the package that reads it is not installed.
    """
    kind = address.partition("://")[0]
    with _said(address) as system:
        found = [f"{kind}://{name}" for name in system.find(address)]
    if not found:
        raise FileNotFoundError(f"There is nothing at '{address}'; check the address.")
    start = len(address.rstrip("/"))
    return sorted(one for one in found if not any(part.startswith(".") for part in PurePosixPath(one[start:]).parts))


@contextmanager
def _said(address: str) -> Iterator[Any]:
    """Yield what reads an address; its errors become one sentence."""
    kind = address.partition("://")[0]
    load_extra(CLIENTS[kind], f"'{address}'")
    import fsspec  # type: ignore[import-untyped]

    try:
        yield fsspec.filesystem(kind)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file '{address}'; check the address.") from error
    except Exception as error:  # every client has classes of its own for keys, networks and rights
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ValueError(
            f"'{address}' cannot be read ({reason}); check the address, your keys and the network."
        ) from error
