"""Messages for users: a mistake on one line, text from files made safe for a terminal, and progress."""

from __future__ import annotations

import logging
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

# Lines of a nested message of jsonargparse that are not the reason: other types that were tried, and the whole value.
_BESIDE = ("Does not validate", "Subtypes:", "Errors:", "Given value", "Expected a <class 'NoneType'>")

# What a bad file may raise: our own checks, the system, and the libraries that decode it or run networks on it.
OF_A_FILE = (ValueError, OSError, RuntimeError, MemoryError)

BETWEEN_LINES = 30.0
"""Seconds between two lines of progress."""

Item = TypeVar("Item")


def innermost(message: str) -> str:
    """Return the innermost reason of a parser's nested message, with the key or class that it concerns in front."""
    lines = [line for line in message.splitlines() if not _text(line).startswith(_BESIDE) and _text(line)]
    reason = max(lines, key=_depth, default=message)
    above = [line for line in lines[: lines.index(reason)] if line.endswith(":")] if lines else []
    # Where the parser names a dotted key and the class above it, the key says more.
    where = (
        _text(above[-1])[:-1].replace("Problem with given class_path", "class_path").replace('"', "`") if above else ""
    )
    return f"{where}: {_text(reason)}" if where else _text(reason)


def is_told(error: Exception) -> bool:
    """Return whether `sentence` is all that a user needs of an error; others are bugs and keep their traceback."""
    return isinstance(error, (ValueError, OSError, MemoryError, RecursionError)) or (
        isinstance(error, RuntimeError)
        and (is_loader_failure(error) or _is_memory_failure(error) or is_lost_rank(error))
    )


def printable(text: str) -> str:
    """Return a text in which control characters and invisible characters are written as codes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def sentence(error: Exception) -> str:
    """Return the message of an error for a user: one line, without control characters.

    Args:
        error: A mistake found by our own checks, or an error of the system or of a library about a file.
    """
    return printable(_told(error))


def _told(error: Exception) -> str:
    if isinstance(error, MemoryError) or _is_memory_failure(error):
        return "memory ran out; close other programs, lower `workers` or batch sizes, or use a larger machine."
    if isinstance(error, RecursionError):
        return "a file is nested too deeply to be read; check the tables and configurations given."
    if isinstance(error, UnicodeError):
        return f"text is not in UTF-8 ({_text(str(error))}); save the file, or rename it, in UTF-8."
    if isinstance(error, OSError) and error.strerror:
        file = f"'{error.filename}'" if error.filename else "a file"
        return (
            f"{file} cannot be read or written ({error.strerror}); free space, or check the path and its permissions."
        )
    if is_loader_failure(error):
        return (
            f"{str(error).partition('. ')[0]}: a process that decodes videos hung or was killed; raise "
            "`data.timeout`, lower `data.num_workers` if memory ran out, and look for broken files with `cvqa check`."
        )
    if is_lost_rank(error):
        return (
            "another process of this run ended or hung; if it gave a reason, you find it near this line; start the run "
            "again from its last checkpoint."
        )
    text = str(error).strip()
    if "in DataLoader worker process" in text:
        text = re.split(r"\n[\w.]+: ", text)[-1]  # the last line of a traceback that a worker sent as text
    # The parser wraps the message of a constructor that it called.
    return re.sub(r"\s*\n\s*", " ", innermost(text) if "Subtypes: [" in text else text)


def sentence_of(path: str | Path, error: Exception) -> str:
    """Return the message for a user of an error that one file caused; it names the file."""
    text = sentence(error)
    return text if str(path) in text else f"'{path}': {text}"


def is_loader_failure(error: Exception) -> bool:
    """Return whether a loader lost a worker process or waited too long for it; torch raises a RuntimeError then."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader")


def is_lost_rank(error: Exception) -> bool:
    """Return whether another process of the run is gone; torch has RuntimeErrors of its own for that."""
    # Torch is slow to import, so its classes are compared by name. Gloo has no class, but names its source
    # files.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in kinds or (isinstance(error, RuntimeError) and "gloo/transport" in str(error))


def _is_memory_failure(error: Exception) -> bool:
    """Return whether torch ran out of memory; it raises a RuntimeError then."""
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _text(line: str) -> str:
    return line.strip(" -\t")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that prints text without interpreting it; text from files must still pass `printable`."""
    from rich.console import Console  # slow to import, and not needed to report a mistake

    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(text: str, *, stderr: bool = False, style: str | None = None) -> None:
    """Print a line in a style such as `bold red`; only a narrow terminal wraps it."""
    console(stderr=stderr).print(printable(text), style=style, soft_wrap=True)


@contextmanager
def progress(what: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show the progress of long work on stderr: a bar on a terminal, elsewhere a line every half minute.

    Args:
        what: Words to print in front.
        total: Number of steps.
        shown: Whether anything is shown.

    Yields:
        Function to call with the number of steps that are done.
    """
    if not shown:
        yield lambda done: None
    elif not sys.stderr.isatty():
        line, start = Seldom(), time.monotonic()

        def tell(done: int) -> None:
            minutes = math.ceil((time.monotonic() - start) / done * (total - done) / 60) if done else 0
            line(f"{what}: {done} of {total}, about {minutes} min left")

        yield tell
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        page = console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(), console=page, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(printable(what), total=total)
            yield lambda done: bar.update(task, completed=done)


def follow(items: Iterable[Item], what: str, total: int | None = None, *, shown: bool = True) -> Iterator[Item]:
    """Yield `items` and show how many of them are done; see `progress`.

    Args:
        items: What to yield.
        what: Words to print in front.
        total: Number of items, needed if `items` has no length.
        shown: Whether anything is shown.
    """
    count = len(items) if total is None and isinstance(items, Sized) else total or 0
    with progress(what, count, shown=shown) as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(done)


class Seldom:
    """Says a line on stderr at most every half minute, and none in the first."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say `text`, or nothing if a line was said just now."""
        now = time.monotonic()
        if now - self._last >= BETWEEN_LINES:
            self._last = now
            say(text, stderr=True)


def log_to_stderr() -> None:
    """Send the log to stderr, from `INFO` up, unless a handler is already set."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLog("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class PlainLog(logging.Formatter):
    """Write log lines without control characters; line breaks stay, because a traceback needs them."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))
