"""Read FFmpeg's log from several threads at once, although its level holds for the whole process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

HARMLESS = ("Unknown or unsupported tag",)  # about fields of TIFF that do not concern its pictures

_guard = threading.Lock()
_asked: list[int] = []  # levels for which blocks ask at this moment
_before: tuple[int | None, bool] = (None, True)  # level and setting before the first of these blocks


@contextmanager
def at_level(level: int) -> Iterator[None]:
    """Set FFmpeg's log to `level` until the block ends, or to a more detailed one if another thread asks for it.

    Repeated messages are logged each time; otherwise a message about one file would be missing for the next.
    """
    global _before
    with _guard:
        if not _asked:
            _before = (av.logging.get_level(), av.logging.get_skip_repeated())
            av.logging.set_skip_repeated(False)
        _asked.append(level)
        av.logging.set_level(max(_asked))
    try:
        yield
    finally:
        with _guard:
            _asked.remove(level)
            if _asked:
                av.logging.set_level(max(_asked))
            else:
                av.logging.set_level(_before[0])
                av.logging.set_skip_repeated(_before[1])


@contextmanager
def errors_logged() -> Iterator[list[str]]:
    """Collect the errors that FFmpeg logs in this thread: some decoders, such as FFV1's, report them nowhere else.

    The list is filled when the block ends.
    """
    told: list[str] = []
    with at_level(av.logging.ERROR):
        try:
            with av.logging.Capture(local=True) as lines:
                yield told
        finally:
            told += [
                f"{name}: {text.strip()}"
                for level, name, text in lines
                if level <= av.logging.ERROR and not text.startswith(HARMLESS)
            ]
