"""Label tables as text: a strict reader, which reports what is wrong with a file and never guesses, and a writer."""

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

from cvqa_models.csv_dialect import DELIMITERS, FOUND_OUT, NUMBER, Dialect, Reading, say_once, split, with_points

# Where a spreadsheet would run text as a formula: at its start, or after a separator at which some split a cell.
_FORMULA = r"(?:^|(?<=[;,|\t\r\n]))%s(?='*(?: *[=+\-@＝＋－＠]|[\t\r]))"  # noqa: RUF001
_UNMARKED, _MARKED = re.compile(_FORMULA % ""), re.compile(_FORMULA % "'")
_NEIGHBOURS = 100
_SIGNS = re.compile(r"[0-9.+\-eE]*")


def read_csv(
    path: str | Path,
    required: Iterable[str] = (),
    *,
    names: list[str] | None = None,
    dialect: Dialect = FOUND_OUT,
) -> pd.DataFrame:
    """Return a table; every cell is stripped text in composed Unicode (NFC).

    Cells are separated by commas. Semicolons, tabs or bars, and then decimal commas, are detected too; the log says so
    once. A column without a name, such as the index that pandas writes, is left out. The apostrophe by which `csv_text`
    keeps a spreadsheet from running text as a formula is removed.

    Args:
        path: CSV file, UTF-8, or UTF-16 as spreadsheets write it.
        required: Columns that must be there.
        names: Column names of a file without a header.
        dialect: What the user said of how the table is written.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, is not such text, has rows of different lengths, lacks a required column, or
            names a column twice.
    """
    wanted = list(required)
    reading, delimiter = split(Path(path), dialect, names, lambda reading: _fits(reading, wanted))
    if delimiter != "," and dialect.delimiter is None:
        say_once(str(path), f"is separated by {DELIMITERS.get(delimiter, repr(delimiter))}, and is read so")
    header = list(map(_cell, reading.header))
    _check_header(path, header, wanted)
    if reading.ragged is not None:
        number, count = reading.ragged
        raise ValueError(
            f"'{path}' line {number} has {count} cells, expected {len(header)}; quote cells that hold the "
            "separator, and write decimals with a point."
        )
    if not any(reading.columns):
        raise ValueError(f"'{path}' has a header but no rows; expected one row per video.")
    columns = {name: _cells(cells) for name, cells in zip(header, reading.columns, strict=False) if name}
    with_points(Path(path), columns, delimiter, dialect.decimal)
    return pd.DataFrame(columns, index=range(len(reading.columns[0])), dtype=str)


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """Return rows, the header included, as comma-separated text that no spreadsheet runs as formulas.

    Text that begins like a formula (`=`, `+`, `-`, `@`, a tab, a line break) gets an apostrophe in front, which
    `read_csv` removes again; numbers stay as they are.
    """
    return "".join(_line([harmless(cell) if isinstance(cell, str) else cell for cell in line]) for line in lines)


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # it quotes cells that hold one of these characters
    return text.getvalue()[:-2] + "\n"


def frame_text(table: pd.DataFrame) -> str:
    """Return a table without its index as `csv_text` writes it; a missing value is an empty cell."""
    blank = table.astype(object).where(table.notna(), "")
    return csv_text([[str(name) for name in table.columns], *blank.itertuples(index=False, name=None)])


def harmless(text: str) -> str:
    """Return text with an apostrophe where a spreadsheet would run it as a formula; a number stays as it is."""
    return text if NUMBER.fullmatch(text) else _UNMARKED.sub("'", text)


def _cell(text: str) -> str:
    """Return a cell as it was meant: stripped, without apostrophes against formulas, in composed Unicode."""
    text = text.strip()
    if "'" in text:
        text = _MARKED.sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _cells(texts: list[str]) -> list[str]:
    """Return a column's cells as they were meant."""
    stripped = [*map(str.strip, texts)]
    whole = "".join(stripped)
    return stripped if whole.isascii() and "'" not in whole else [*map(_cell, texts)]


def rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return the rows of a table of text, each as column -> cell."""
    columns = [table[column].tolist() for column in table.columns]
    return [dict(zip(table.columns, cells, strict=True)) for cells in zip(*columns, strict=True)]


def numbers(table: pd.DataFrame, column: str, path: str | Path, *, blank: float | None = None) -> pd.Series:
    """Return a column as floats.

    Args:
        table: Table of text cells.
        column: Its column.
        path: Its file, for messages.
        blank: Value of an empty cell; None if cells must not be empty.

    Raises:
        ValueError: If a cell is not a finite number; the message names the first such row.
    """
    cells = table[column].astype(str).tolist()
    values = _plain_numbers(cells, blank)
    if values is None:
        values = []
        for row, cell in enumerate(cells):
            value = number(cell, blank)
            if value is None:
                raise ValueError(f"'{path}' row {row + 1}: {no_number(column, cell)}.")
            values.append(value)
    return pd.Series(values, index=table.index, dtype=float)


def _plain_numbers(cells: Sequence[str], blank: float | None) -> list[float] | None:
    """Return all cells as `number` would, in one step; None if one of them may not be a finite number."""
    if blank is not None and not any(cells):
        return [blank] * len(cells)
    # For text of only these characters, Python and `NUMBER` agree on what a number is.
    if not _SIGNS.fullmatch("".join(cells)):
        return None
    try:
        values = [*map(float, cells)] if blank is None else [float(cell) if cell else blank for cell in cells]
    except ValueError:
        return None
    return None if any(map(math.isinf, values)) else values


def number(cell: str, blank: float | None = None) -> float | None:
    """Return a cell as a finite float, an empty cell as `blank`, and None for any other text.

    A number is written in decimal digits with a point: not as `1_000`, `0x10`, `inf` or in digits of other scripts.
    """
    if not cell and blank is not None:
        return blank
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    return value if math.isfinite(value) else None


def no_number(column: str, cell: str) -> str:
    """Return the error text for a cell that is not a number."""
    hint = ""
    if "," in cell and cell.replace(",", "").replace(".", "").lstrip("+-").isdecimal():
        hint = "; write decimals with a point, and thousands without a mark"
    shown = cell if len(cell) <= 60 else f"{cell[:60]}..."
    return f"`{column}` is {shown!r}, expected a finite number{hint}"


def near_misses(names: Iterable[str], known: Collection[str], limit: int = 3) -> str:
    """Return the first `limit` of `names` for a message, each with the most similar of `known`, if any."""
    ordered, mirrored = sorted(known), sorted(name[::-1] for name in known)
    shown = []
    for name in list(names)[:limit]:
        # A similar name begins or ends alike, so only those names are compared: tables may be large.
        beside = {*_around(name, ordered), *(near[::-1] for near in _around(name[::-1], mirrored))}
        close = [one for one in sorted(beside) if one.casefold() == name.casefold()]
        close = close or get_close_matches(name, sorted(beside), n=1, cutoff=0.75)
        shown.append(f"{name!r}" + (f" (near: {close[0]!r})" if close else ""))
    return ", ".join(shown)


def _around(name: str, ordered: list[str]) -> list[str]:
    place = bisect.bisect_left(ordered, name)
    return ordered[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]


def _fits(reading: Reading, required: list[str]) -> bool:
    """Return whether every row of a reading has as many cells as the header, and more than one."""
    header = list(map(_cell, reading.header))
    return len(header) >= 2 and set(required) <= set(header) and reading.ragged is None


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
