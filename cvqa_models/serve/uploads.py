"""Receive a file as a multipart body. It is written to disk as it arrives, so memory does not grow with its size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi.concurrency import run_in_threadpool
from python_multipart import MultipartParser
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from cvqa_models.files import install
from cvqa_models.serve.limits import RefusedError
from cvqa_models.serve.sources import shown_name, suffix_of

PATIENCE = 60.0
"""Seconds without a byte after which an upload is given up."""

_BLOCK = 1 << 20  # bytes of a file that are held in memory
_BESIDE = 65536  # bytes that a body may have in addition to the file
_PASSED_OVER = 64 << 20  # bytes of a refused body that are still read
_ONE = "Send one file, as the part `file` of a multipart body."


async def receive(request: Request, target: Path, largest: int) -> tuple[str, Path]:
    """Return the name of the file that a request sends, and the path to which it was written.

    Args:
        request: A request with a multipart body.
        target: Path to write to; the extension of the file's name is added.
        largest: Largest number of bytes of the file.

    Raises:
        RefusedError: If the body is malformed, too large, cut off or too slow. The file is then removed.
    """
    if int(request.headers.get("content-length", 0)) > largest + _BESIDE:
        raise _too_large(largest)
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if not options.get(b"boundary"):
        raise RefusedError(400, "The content type names no boundary; " + _ONE)
    part = target.with_suffix(".part")
    try:
        with part.open("xb") as file:
            body = _Body(options[b"boundary"], largest)
            async for chunk in _chunks(request):
                body.take(chunk)
                if len(body.held) >= _BLOCK:
                    await body.write(file)
            name = body.name()
            await body.write(file)
        final = target.with_suffix(suffix_of(name))
        await run_in_threadpool(install, part, final)
    except (ClientDisconnect, asyncio.TimeoutError) as error:
        raise RefusedError(400, f"The file was cut off, or no byte came for {PATIENCE:g} s; send it again.") from error
    except MultipartParseError as error:
        raise RefusedError(400, "The body is no multipart body; " + _ONE) from error
    finally:
        part.unlink(missing_ok=True)
    return name, final


async def pass_over(request: Request) -> None:
    """Read the rest of a refused body, up to a limit: a client that is still sending would not see the answer."""
    seen = 0
    try:
        async for chunk in _chunks(request):
            seen += len(chunk)
            if seen > _PASSED_OVER:
                return
    except (ClientDisconnect, asyncio.TimeoutError, RuntimeError):  # the client is gone, or the body was already read
        return


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while (chunk := await asyncio.wait_for(anext(stream, None), PATIENCE)) is not None:
        yield chunk


def _too_large(largest: int) -> RefusedError:
    return RefusedError(
        413, f"The file is larger than {largest / 1e6:g} MB, the most that is taken; send a part of it."
    )


class _Body:
    """Parses a multipart body as it arrives.

    Args:
        boundary: Text that separates its parts.
        largest: Largest number of bytes of its file.
    """

    def __init__(self, boundary: bytes, largest: int) -> None:
        self.held = bytearray()
        self._largest, self._size, self._parts, self._complete = largest, 0, 0, False
        self._field, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )

    def take(self, chunk: bytes) -> None:
        """Parse the next bytes.

        Raises:
            RefusedError: If there is more than one part, or it is too large.
            MultipartParseError: If it is not a multipart body.
        """
        self._parser.write(chunk)

    async def write(self, file: BinaryIO) -> None:
        """Write the bytes that are held in memory."""
        block, self.held = self.held, bytearray()
        await run_in_threadpool(file.write, block)

    def name(self) -> str:
        """Return the name of the file, after the end of the body.

        Raises:
            RefusedError: If the body is not complete, or its part is not a file, or is empty.
        """
        if not self._complete:
            raise RefusedError(400, "The body ends before its last boundary; send it again.")
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if self._parts != 1 or options.get(b"name") != b"file":
            raise RefusedError(400, _ONE)
        if self._size == 0:
            raise RefusedError(422, "The file is empty (0 bytes); send it again.")
        return shown_name(options.get(b"filename", b"").decode(errors="replace"))

    def _on_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise RefusedError(400, _ONE)

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._largest:
            raise _too_large(self._largest)
        self.held += data[start:end]

    def _on_end(self) -> None:
        self._complete = True
