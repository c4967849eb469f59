"""How a table is written: its encoding, what separates its cells, and its decimal mark; found out, or told."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# Only digits that every program reads alike: Python alone takes 1_000, other scripts' digits, hexadecimals and `nan`.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)

Lines = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Dialect:
    """What a user says of a table; None is found out.

    Attributes:
        delimiter: `,`, `;`, `|`, or `tab`.
        decimal: `.` or `,`.
    """

    delimiter: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter not in (None, "tab", *DELIMITERS):
            raise ValueError(f"`delimiter` is {self.delimiter!r}; expected `,`, `;`, `|` or `tab`.")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"`decimal` is {self.decimal!r}; expected `.` or `,`.")


FOUND_OUT = Dialect()


def decoded(path: Path) -> str:
    """Return a text file's content; UTF-8, or UTF-16 with its mark, as spreadsheets write them.

    Other encodings are refused and never guessed, for a wrong guess changes names in silence.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no table '{path}'; give the path of a CSV file.")
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 text (byte {error.start}); save it again as UTF-8 CSV.") from error
    text = text.removeprefix("\ufeff")  # some programs put a second mark before the first
    if "\0" in text:  # UTF-16 without a mark at its start, or no text at all
        raise ValueError(f"'{path}' is not UTF-8 text (it holds zero bytes); save it again as UTF-8 CSV.")
    return text


def split(path: Path, dialect: Dialect, fits: Callable[[Lines], bool]) -> tuple[Lines, str]:
    """Return number and cells of every line that is not blank, and what separates the cells.

    Commas are tried first; another mark is taken where only it `fits`, and said once.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no text, is empty, or its quotes do not close.
    """
    text = decoded(path)
    told = re.match(r"sep=([,;\t|])(?:\r\n?|\n)", text)  # the line by which spreadsheets tell each other
    if told:
        text = text[told.end() :]
    given = "\t" if dialect.delimiter == "tab" else dialect.delimiter or (told[1] if told else None)
    if given is not None:
        return _lines(path, text, given), given
    readings: dict[str, Lines] = {}
    for delimiter in DELIMITERS:
        try:
            readings[delimiter] = _lines(path, text, delimiter)
        except ValueError:
            if delimiter == ",":
                raise
            continue
        if fits(readings[delimiter]):
            break
    else:  # no reading is right: the one with most columns says best what is wrong
        delimiter = max(readings, key=lambda mark: len(readings[mark][0][1]))
    return readings[delimiter], delimiter


def _lines(path: Path, text: str, delimiter: str) -> Lines:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise ValueError(f"'{path}' is no CSV file ({error}); save it again as comma-separated UTF-8 text.") from error
    if not lines:
        raise ValueError(f"'{path}' is empty; expected a header and one row per video.")
    return lines


def with_points(path: Path, columns: dict[str, list[str]], delimiter: str, decimal: str | None) -> None:
    """Write decimals with a point, in place, in the columns that write them with a comma.

    Args:
        path: File that they came from, for messages.
        columns: Name -> cells.
        delimiter: What separates the cells; in a table of commas no decimal comma is looked for.
        decimal: The decimal mark that the user gives; None finds it out.

    Raises:
        ValueError: If another column has points that may mark thousands.
    """
    if decimal == "." or (decimal is None and delimiter == ","):
        return
    commas = [name for name, cells in columns.items() if _all(_COMMA_NUMBER, cells) and any("," in c for c in cells)]
    sure = any("," in cell and not _THOUSANDS.fullmatch(cell) for name in commas for cell in columns[name])
    if not commas or not (sure or decimal):  # `1,234` alone may be 1.234 or 1234: whoever needs it as a number refuses
        return
    for name, cells in columns.items():
        points = [cell for cell in cells if "." in cell]
        if points and _all(NUMBER, cells) and _all(_THOUSANDS, points):
            raise ValueError(
                f"'{path}' writes decimals with a comma, so that {points[0]!r} in `{name}` may mean thousands; write "
                "all numbers alike, without marks of thousands."
            )
    for name in commas:
        columns[name] = [cell.replace(",", ".") for cell in columns[name]]
    say_once(str(path), "writes decimals with a comma, and is read so")


def _all(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    return all(pattern.fullmatch(cell) for cell in cells if cell)


@lru_cache(maxsize=1024)
def say_once(path: str, what: str) -> None:
    """Log a remark about a file, once however often it is read."""
    log.warning("'%s' %s.", path, what)
