"""Label tables as text: one strict reader that says what is wrong with a file instead of guessing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

import pandas as pd


def read_csv(path: str | Path, required: Iterable[str] = (), *, names: list[str] | None = None) -> pd.DataFrame:
    """Return a comma-separated UTF-8 table, every cell as stripped text.

    A column without a name, as pandas writes for its index, is left out.

    Args:
        path: CSV file.
        required: Columns that must be there.
        names: Column names of a file without a header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty, is not UTF-8 or comma-separated, has ragged rows, lacks a required column,
            or names a column twice.
    """
    lines = _lines(Path(path))
    header = names if names is not None else [cell.strip() for cell in lines[0][1]]
    body = lines if names is not None else lines[1:]
    _check_header(path, header, list(required))
    for number, row in body:
        if len(row) != len(header):
            check_delimiter(path, row)
            raise ValueError(
                f"'{path}' line {number} has {len(row)} cells, expected {len(header)}; quote cells that hold a comma, "
                "and write decimals with a point."
            )
    if not body:
        raise ValueError(f"'{path}' has a header but no rows; expected one row per video.")
    kept = [index for index, name in enumerate(header) if name]
    return pd.DataFrame(
        [[row[index].strip() for index in kept] for _, row in body],
        columns=[header[index] for index in kept],
        dtype=str,
    )


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


def check_delimiter(path: str | Path, cells: list[str]) -> None:
    """Raise a ValueError if a line that does not fit looks as if it were separated by something else than commas."""
    for delimiter, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if any(delimiter in cell for cell in cells):
            raise ValueError(f"'{path}' is separated by {word}; expected commas, with decimals written with a point.")


def no_number(column: str, cell: str) -> str:
    """Return the words that refuse a cell which is no number."""
    hint = "; write decimals with a point" if cell.replace(",", "").replace("-", "").isdigit() else ""
    return f"`{column}` is {cell!r}, expected a finite number{hint}"


def near_misses(names: Iterable[str], known: Collection[str], limit: int = 3) -> str:
    """Return the first `limit` of `names`, each with the most similar of `known` where there is one, for a message."""
    shown = []
    for name in list(names)[:limit]:
        close = get_close_matches(name, known, n=1, cutoff=0.75)
        shown.append(f"{name!r}" + (f" (near: {close[0]!r})" if close else ""))
    return ", ".join(shown)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return number and cells of every line that is not blank."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no table '{path}'; give the path of a CSV file.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 text (byte {error.start}); save it again as UTF-8 CSV.") from error
    if "\0" in text:  # UTF-16 without a mark at its start, or no text at all
        raise ValueError(f"'{path}' is not UTF-8 text (it holds zero bytes); save it again as UTF-8 CSV.")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise ValueError(f"'{path}' is no CSV file ({error}); save it again as comma-separated UTF-8 text.") from error
    if not lines:
        raise ValueError(f"'{path}' is empty; expected a header and one row per video.")
    return lines


def _check_header(path: str | Path, header: list[str], required: list[str]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        check_delimiter(path, header)
        raise ValueError(
            f"'{path}' has no column {near_misses(missing, header)}; its header is {', '.join(header)[:200]}."
        )
    named = [name for name in header if name]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise ValueError(f"'{path}' names the column {twice[0]!r} twice; rename one of them.")


def number(cell: str, blank: float | None = None) -> float | None:
    """Return a cell as a finite float, an empty one as `blank`, and None if it is neither."""
    if not cell and blank is not None:
        return blank
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
