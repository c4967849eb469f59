"""Label tables as text: one strict reader that says what is wrong with a file instead of guessing, and its writer."""

from __future__ import annotations

import bisect
import csv
import io
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import DELIMITERS, FOUND_OUT, NUMBER, Dialect, Lines, say_once, split, with_points

# Where a spreadsheet would run a text: at its start, or after a mark that some spreadsheets split cells at.
_FORMULA = r"(?:^|(?<=[;,|\t\r\n]))%s(?='*(?: *[=+\-@＝＋－＠]|[\t\r]))"  # noqa: RUF001
_UNMARKED, _MARKED = re.compile(_FORMULA % ""), re.compile(_FORMULA % "'")
_NEIGHBOURS = 100


def read_csv(
    path: str | Path,
    required: Iterable[str] = (),
    *,
    names: list[str] | None = None,
    dialect: Dialect = FOUND_OUT,
) -> pd.DataFrame:
    """Return a table, every cell as stripped text in composed Unicode (NFC).

    Cells are separated by commas; semicolons, tabs or bars, and then decimal commas, are found out and said once. A
    column without a name, as pandas writes for its index, is left out. An apostrophe that keeps a spreadsheet from
    running a text, as `csv_text` writes it, is taken off.

    Args:
        path: CSV file, UTF-8, or UTF-16 as spreadsheets write it.
        required: Columns that must be there.
        names: Column names of a file without a header.
        dialect: What is known of how the table is written.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, is no such text, has ragged rows, lacks a required column, or names a column
            twice.
    """
    wanted = list(required)
    lines, delimiter = split(Path(path), dialect, lambda lines: _fits(lines, wanted, names))
    if delimiter != "," and dialect.delimiter is None:
        say_once(str(path), f"is separated by {DELIMITERS.get(delimiter, repr(delimiter))}, and is read so")
    header = list(map(_cell, lines[0][1])) if names is None else names
    body = lines if names is not None else lines[1:]
    _check_header(path, header, wanted)
    if not body:
        raise ValueError(f"'{path}' has a header but no rows; expected one row per video.")
    width = _width(header)
    for number, row in body:
        if not _fills(row, header, width):
            raise ValueError(
                f"'{path}' line {number} has {len(row)} cells, expected {len(header)}; quote cells that hold the "
                "separator, and write decimals with a point."
            )
    columns = {name: [_cell(row[place]) for _, row in body] for place, name in enumerate(header) if name}
    with_points(Path(path), columns, delimiter, dialect.decimal)
    return pd.DataFrame(columns, index=range(len(body)), dtype=str)


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """Return rows, the header among them, as comma-separated text that no spreadsheet runs.

    A text that begins like a formula (`=`, `+`, `-`, `@`, a tab, a line break) gets an apostrophe before it, which
    `read_csv` takes off again; numbers stay as they are.
    """
    return "".join(_line([harmless(cell) if isinstance(cell, str) else cell for cell in line]) for line in lines)


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # it quotes what stands in this, so carriage returns too
    return text.getvalue()[:-2] + "\n"


def frame_text(table: pd.DataFrame) -> str:
    """Return a table without its index as `csv_text` writes it; a missing value is an empty cell."""
    blank = table.astype(object).where(table.notna(), "")
    return csv_text([[str(name) for name in table.columns], *blank.itertuples(index=False, name=None)])


def harmless(text: str) -> str:
    """Return a text with an apostrophe where a spreadsheet would run it; a number as it is."""
    return text if NUMBER.fullmatch(text) else _UNMARKED.sub("'", text)


def _cell(text: str) -> str:
    """Return a cell as it was meant: without space around it, without marks against formulas, composed."""
    text = text.strip()
    if "'" in text:
        text = _MARKED.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the rows of a table of text, column -> cell."""
    columns = [table[column].tolist() for column in table.columns]
    return [dict(zip(table.columns, cells, strict=True)) for cells in zip(*columns, strict=True)]


def numbers(table: pd.DataFrame, column: str, path: str | Path, *, blank: float | None = None) -> pd.Series:
    """Return a column as floats.

    Args:
        table: Table of text cells.
        column: Its column.
        path: File that it came from, for messages.
        blank: Value of an empty cell; None if cells must not be empty.

    Raises:
        ValueError: If a cell is no finite number, naming the first such row.
    """
    values = []
    for row, cell in enumerate(table[column].astype(str).tolist()):
        value = number(cell, blank)
        if value is None:
            raise ValueError(f"'{path}' row {row + 1}: {no_number(column, cell)}.")
        values.append(value)
    return pd.Series(values, index=table.index, dtype=float)


def number(cell: str, blank: float | None = None) -> float | None:
    """Return a cell as a finite float, an empty one as `blank`, and None if it is neither.

    A number is written in decimal digits with a point: not as `1_000`, `0x10`, `inf` or in other scripts' digits.
    """
    if not cell and blank is not None:
        return blank
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    return value if math.isfinite(value) else None


def no_number(column: str, cell: str) -> str:
    """Return the words that refuse a cell which is no number."""
    hint = ""
    if "," in cell and cell.replace(",", "").replace(".", "").lstrip("+-").isdecimal():
        hint = "; write decimals with a point, and thousands without a mark"
    shown = cell if len(cell) <= 60 else f"{cell[:60]}..."
    return f"`{column}` is {shown!r}, expected a finite number{hint}"


def near_misses(names: Iterable[str], known: Collection[str], limit: int = 3) -> str:
    """Return the first `limit` of `names`, each with the most similar of `known` where there is one, for a message."""
    ordered, mirrored = sorted(known), sorted(name[::-1] for name in known)
    shown = []
    for name in list(names)[:limit]:
        # The most similar name begins or ends alike, so a large table need not be compared whole.
        beside = {*_around(name, ordered), *(near[::-1] for near in _around(name[::-1], mirrored))}
        close = [one for one in sorted(beside) if one.casefold() == name.casefold()]
        close = close or get_close_matches(name, sorted(beside), n=1, cutoff=0.75)
        shown.append(f"{name!r}" + (f" (near: {close[0]!r})" if close else ""))
    return ", ".join(shown)


def _around(name: str, ordered: list[str]) -> list[str]:
    place = bisect.bisect_left(ordered, name)
    return ordered[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]


def _fits(lines: Lines, required: list[str], names: list[str] | None) -> bool:
    """Return whether a reading of a file gives every row the header's cells, and more than one of them."""
    header = list(map(_cell, lines[0][1])) if names is None else names
    width = _width(header)
    if len(header) < 2 or not set(required) <= set(header):
        return False
    return all(_fills(row, header, width) for _, row in lines)


def _width(header: list[str]) -> int:
    """Return how many cells a row needs: blank columns at the end, as spreadsheets leave them, may be missing."""
    return max((place for place, name in enumerate(header, start=1) if name), default=0)


def _fills(row: list[str], header: list[str], width: int) -> bool:
    return len(row) >= width and not any(cell.strip() for cell in row[len(header) :])


def _check_header(path: str | Path, header: list[str], required: list[str]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(
            f"'{path}' has no column {near_misses(missing, header)}; its header is {', '.join(header)[:200]}."
        )
    seen: set[str] = set()
    for name in header:
        if name and name in seen:
            raise ValueError(f"'{path}' names the column {name!r} twice; rename one of them.")
        seen.add(name)
