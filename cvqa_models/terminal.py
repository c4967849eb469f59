"""What a terminal shows of text from files: the text itself, never markup, emoji or what a terminal would obey."""

from __future__ import annotations

import logging

from rich.console import Console

from cvqa_models.mistakes import printable


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that takes every text as it is; what comes from files still wants `printable`."""
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(text: str, *, stderr: bool = False, style: str | None = None) -> None:
    """Print a line, which a narrow terminal wraps where it must, in a style such as `bold red`."""
    console(stderr=stderr).print(printable(text), style=style, soft_wrap=True)


def log_to_stderr() -> None:
    """Tell what the log says on stderr, from `INFO` on, unless it is told somewhere already."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLog("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class PlainLog(logging.Formatter):
    """Log lines that a terminal only shows; line breaks stay, for a traceback needs them."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))
