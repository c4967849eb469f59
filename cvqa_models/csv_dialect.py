"""How a table is written: its encoding, its separator and its decimal mark. The user gives them, or we detect them."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import methodcaller
from pathlib import Path
from typing import Any

from cvqa_models.remote import read_remote, remote

log = logging.getLogger(__name__)

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# Only digits that every program reads alike: Python alone takes 1_000, other scripts' digits, hexadecimals and `nan`.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d+(,\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([.,]\d{3})+", re.ASCII)
_LINES_AT_ONCE = 4096
_BLANKS = " \t\v\f\x1c\x1d\x1e\x1f"  # ASCII characters that `strip` removes, except line ends


@dataclass(frozen=True)
class Dialect:
    """What a user says of how a table is written; what is None is detected.

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
    """Return the content of a text file in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets write them.

    Other encodings are refused and never guessed: a wrong guess would change names and nobody would notice.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such text.
    """
    address = remote(path)
    if address is None and not path.is_file():
        raise FileNotFoundError(f"There is no table '{path}'; give the path of a CSV file.")
    content = path.read_bytes() if address is None else read_remote(address)
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 text (byte {error.start}); save it again as UTF-8 CSV.") from error
    text = text.removeprefix("\ufeff")  # some programs write the byte order mark twice
    if "\0" in text:  # UTF-16 without a mark at its start, or no text at all
        raise ValueError(f"'{path}' is not UTF-8 text (it holds zero bytes); save it again as UTF-8 CSV.")
    return text


@dataclass(frozen=True)
class Reading:
    """The cells of a file, split by one separator; lines without any content are skipped.

    Attributes:
        header: The first line, or the names given in its place.
        columns: The cells below the header, one list for each column up to the last with a name.
        ragged: Number of the first line with too few or too many cells, and how many it has; None if there is none.
    """

    header: list[str]
    columns: list[list[str]]
    ragged: tuple[int, int] | None


def split(
    path: Path, dialect: Dialect, names: list[str] | None, fits: Callable[[Reading], bool]
) -> tuple[Reading, str]:
    """Return the cells of a file, and what separates them.

    Commas are tried first. Another separator is taken only if it alone `fits`; the log then says so once.

    Args:
        path: The file.
        dialect: What the user said of it.
        names: Column names of a file without a header.
        fits: Tells whether a reading is right.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not text, is empty, or has a quote that is not closed.
    """
    text = decoded(path)
    told = re.match(r"sep=([,;\t|])(?:\r\n?|\n)", text)  # the line by which spreadsheets name the separator
    if told:
        text = text[told.end() :]
    given = "\t" if dialect.delimiter == "tab" else dialect.delimiter or (told[1] if told else None)
    if given is not None:
        return _reading(path, text, given, names), given
    readings: dict[str, Reading] = {}
    for delimiter in DELIMITERS:
        try:
            readings[delimiter] = _reading(path, text, delimiter, names)
        except ValueError:
            if delimiter == ",":
                raise
            continue
        if fits(readings[delimiter]):
            break
    else:  # no reading is right: the one with the most columns gives the clearest error
        delimiter = max(readings, key=lambda mark: len(readings[mark].header))
    return readings[delimiter], delimiter


def _reading(path: Path, text: str, delimiter: str, names: list[str] | None) -> Reading:
    columns = _plain_columns(text, delimiter)
    if columns is not None and (names is None or len(names) == len(columns)):
        header = names if names is not None else [column.pop(0) for column in columns]
        return Reading(header, columns[: _width(header)], None)
    lines = (line for line in _lines(text, delimiter) if any(map(str.strip, line)))
    try:
        return _any_reading(text, lines, delimiter, names)
    except csv.Error as error:
        raise ValueError(f"'{path}' is no CSV file ({error}); save it again as comma-separated UTF-8 text.") from error
    except StopIteration:
        raise ValueError(f"'{path}' is empty; expected a header and one row per video.") from None


def _plain_columns(text: str, delimiter: str) -> list[list[str]] | None:
    """Return the columns of a text whose lines all have content and equally many cells, none of them quoted.

    The csv module would find the same in ten times the time. None for any other text.
    """
    text = text.replace("\r\n", "\n").rstrip("\n")
    if not text or not text.isascii() or '"' in text or "\r" in text:
        return None
    lines = text.split("\n")
    width = lines[0].count(delimiter) + 1
    even = set(map(methodcaller("count", delimiter), lines)) == {width - 1}
    if not even or max(map(len, lines)) > csv.field_size_limit():
        return None
    if not all(map(methodcaller("strip", _BLANKS + delimiter), lines)):
        return None
    del lines
    cells = text.replace("\n", delimiter).split(delimiter)
    return [cells[place::width] for place in range(width)]


def _any_reading(text: str, lines: Iterator[list[str]], delimiter: str, names: list[str] | None) -> Reading:
    header = names if names is not None else next(lines)
    width = _width(header)
    columns: list[list[str]] = [[] for _ in range(width)]
    bad: tuple[int, int] | None = None
    count = 0
    while block := list(itertools.islice(lines, _LINES_AT_ONCE)):
        if bad is None and set(map(len, block)) != {len(header)}:
            misfits = ((count + n, len(line)) for n, line in enumerate(block) if not _fills(line, header, width))
            bad = next(misfits, None)
        if bad is None:
            for column, cells in zip(columns, zip(*block, strict=False), strict=False):
                column.extend(cells)
        count += len(block)
    if names is not None and not count:
        raise StopIteration
    if bad is not None:
        bad = _line_number(text, delimiter, bad[0] + (names is None)), bad[1]
    return Reading(header, columns, bad)


def _width(header: list[str]) -> int:
    """Return how many cells a row needs: blank columns at the end, which spreadsheets leave, may be missing."""
    return max((place for place, name in enumerate(header, start=1) if name.strip()), default=0)


def _lines(text: str, delimiter: str) -> Any:
    """Return a reader of lines; a StringIO would need four bytes for each character."""
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8", newline="")
    return csv.reader(stream, delimiter=delimiter, strict=True)


def _fills(line: list[str], header: list[str], width: int) -> bool:
    """Return whether a line has all cells that it needs, and none beyond the header."""
    return len(line) >= width and not any(cell.strip() for cell in line[len(header) :])


def _line_number(text: str, delimiter: str, position: int) -> int:
    """Return the number in the file at which a line ends, given its position from 0 among the lines with content."""
    reader = _lines(text, delimiter)
    filled = (reader.line_num for line in reader if any(map(str.strip, line)))
    number: int = next(itertools.islice(filled, position, None))
    return number


def with_points(path: Path, columns: dict[str, list[str]], delimiter: str, decimal: str | None) -> None:
    """Replace decimal commas by points, in place, in the columns that use commas.

    Args:
        path: Their file, for messages.
        columns: Name -> cells.
        delimiter: What separates the cells; if it is a comma, no cell can hold a decimal comma.
        decimal: The decimal mark that the user gave; None detects it.

    Raises:
        ValueError: If another column has points that may mark thousands.
    """
    if decimal == "." or (decimal is None and delimiter == ","):
        return
    commas = [name for name, cells in columns.items() if _all(_COMMA_NUMBER, cells) and any("," in c for c in cells)]
    sure = any("," in cell and not _THOUSANDS.fullmatch(cell) for name in commas for cell in columns[name])
    if not commas or not (sure or decimal):  # `1,234` alone may be 1.234 or 1234: it stays, and `number` refuses it
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
    """Log a remark about a file; only once, even if the file is read again."""
    log.warning("'%s' %s.", path, what)
