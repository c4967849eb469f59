"""A user's mistake as one sentence: what parsers and the system say at length, or without saying what to do."""

from __future__ import annotations

import re
from pathlib import Path

# What a nested message of jsonargparse holds beside the reason: alternatives that no one meant, and the whole value.
_BESIDE = ("Does not validate", "Subtypes:", "Errors:", "Given value", "Expected a <class 'NoneType'>")

# What a bad file may raise: our own checks, the system, and the libraries that decode it or run networks on it.
OF_A_FILE = (ValueError, OSError, RuntimeError, MemoryError)


def innermost(message: str) -> str:
    """Return the reason at the bottom of a parser's nested message, after the key or class that it concerns."""
    lines = [line for line in message.splitlines() if not _text(line).startswith(_BESIDE) and _text(line)]
    reason = max(lines, key=_depth, default=message)
    above = [line for line in lines[: lines.index(reason)] if line.endswith(":")] if lines else []
    # A dotted key says more than the bare class above it, where the parser names both.
    where = (
        _text(above[-1])[:-1].replace("Problem with given class_path", "class_path").replace('"', "`") if above else ""
    )
    return f"{where}: {_text(reason)}" if where else _text(reason)


def is_told(error: Exception) -> bool:
    """Return whether `sentence` is all that a user needs of an error; of others the traceback is wanted, to mend us."""
    return isinstance(error, (ValueError, OSError, MemoryError, RecursionError)) or (
        isinstance(error, RuntimeError)
        and (is_loader_failure(error) or _is_memory_failure(error) or is_lost_rank(error))
    )


def printable(text: str) -> str:
    """Return a text in which every character that a terminal would obey, or that has no shape, is written as a code."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def sentence(error: Exception) -> str:
    """Return what a user is told of an error, on one line that a terminal only shows.

    Args:
        error: A mistake found by our own checks, or what the system or a library said of a file.
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
            "another process of this run ended or hung, and if it said why, that stands beside this; start the run "
            "again from its last checkpoint."
        )
    text = str(error).strip()
    if "in DataLoader worker process" in text:
        text = re.split(r"\n[\w.]+: ", text)[-1]  # the last line of a traceback that a worker sent as text
    # A constructor's own mistake comes wrapped by the parser that called it.
    return re.sub(r"\s*\n\s*", " ", innermost(text) if "Subtypes: [" in text else text)


def sentence_of(path: str | Path, error: Exception) -> str:
    """Return what a user is told of an error that one file caused; the file is named."""
    text = sentence(error)
    return text if str(path) in text else f"'{path}': {text}"


def is_loader_failure(error: Exception) -> bool:
    """Return whether a loader lost a worker process or waited too long for it, which torch says as a RuntimeError."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader")


def is_lost_rank(error: Exception) -> bool:
    """Return whether a process found that another of its run is gone, which torch says in a RuntimeError of its own."""
    # Torch is slow to import, so its classes are told by name; Gloo's errors have none, but name its source files.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in kinds or (isinstance(error, RuntimeError) and "gloo/transport" in str(error))


def _is_memory_failure(error: Exception) -> bool:
    """Return whether torch found no memory, which it says as a RuntimeError."""
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _text(line: str) -> str:
    return line.strip(" -\t")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))
