"""Fill the score column of the organisers' own submission file; rows, order, names and separators stay the same."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cvqa_models.data.adapters.cvqad import KEYS
from cvqa_models.files import write_bytes, write_text
from cvqa_models.submission.layouts import check_scores
from cvqa_models.tables import near_misses

SCORE_NAMES = ("score", "scores", "prediction", "pred", "predicted_score", "mos", "subjective_score")
HEADER_NAMES = (*SCORE_NAMES, *KEYS, "filename", "file", "name", "video", "video_name", "video_id", "id", "path")
Cells = list[list[Any]]
_MOST_CELLS, _MOST_BYTES = 10_000_000, 1 << 28  # limits of a workbook: a small file may unpack to very much


def fill_template(template: Path, out: Path, scores: Mapping[str, float], column: str | None = None) -> int:
    """Write `template` to `out` with a score in each row; return the number of rows.

    The videos are in the column whose cells match predictions, by id, file name or stem; or in the columns codec,
    preset, sequence and crf. The score column is `column`, or else one with a usual name, or else a new last column.

    Args:
        template: `.csv`, `.txt`, `.tsv`, `.json` or `.xlsx`, with or without a header.
        out: The filled file, of the same kind.
        scores: video_id -> score; it may hold more videos than the template.
        column: Header of the score column.

    Raises:
        FileNotFoundError: If there is no such template.
        ValueError: If its kind or content is not known, or a row has no score.
    """
    if not template.is_file():
        raise FileNotFoundError(f"There is no template '{template}'; give the organisers' sample submission.")
    fillers: dict[str, Callable[..., int]] = {".json": _fill_json, ".xlsx": _fill_xlsx}
    fillers.update(dict.fromkeys((".csv", ".txt", ".tsv"), _fill_text))
    filler = fillers.get(template.suffix.lower())
    if filler is None:
        raise ValueError(f"'{template}' is no .csv, .txt, .tsv, .json or .xlsx file; convert it to one of them.")
    if out.suffix.lower() != template.suffix.lower():
        raise ValueError(f"`out` is '{out}', expected a {template.suffix} file like the template.")
    return filler(template, out, scores, column)


def _fill_text(template: Path, out: Path, scores: Mapping[str, float], column: str | None) -> int:
    try:
        text = template.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{template}' is not UTF-8 text; save it again as UTF-8.") from error
    bom, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = [line for line in re.split("\r\n?|\n", text) if line.strip()]
    if not lines:
        raise ValueError(f"'{template}' is empty; expected one row per video.")
    delimiter = next((mark for mark in ("\t", ";", ",", " ") if mark in lines[0]), ",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != " ")
    try:
        cells: Cells = [list(row) for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"'{template}' is no table ({error}); give the organisers' file as it came.") from error
    if not cells:
        raise ValueError(f"'{template}' has no row that names a video; give the organisers' file as it came.")
    space = " " if delimiter == "," and all(f"{delimiter} " in line for line in lines) else ""
    count = _fill_cells(cells, scores, column, template)
    filled = io.StringIO()
    csv.writer(filled, delimiter=delimiter, lineterminator=ending).writerows(
        [[cell if index == 0 else space + str(cell) for index, cell in enumerate(row)] for row in cells]
    )
    write_text(out, bom + filled.getvalue())
    return count


def _fill_json(template: Path, out: Path, scores: Mapping[str, float], column: str | None) -> int:
    """Fill `{name: value}` or a list of objects, one per video."""
    try:
        content = json.loads(template.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{template}' is no JSON ({error}); give the organisers' file as it came.") from error
    if isinstance(content, dict) and content:
        cells: Cells = [[name, None] for name in content]
        count = _fill_cells(cells, scores, None, template)
        content = dict(cells)
    elif isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        header = list(content[0])
        cells = [list(header), *([row.get(name) for name in header] for row in content)]
        count = _fill_cells(cells, scores, column, template)
        content = [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]
    else:
        raise ValueError(f"'{template}' holds neither an object of names nor a list of objects; fill it by hand.")
    write_text(out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return count


def _fill_xlsx(template: Path, out: Path, scores: Mapping[str, float], column: str | None) -> int:
    try:
        from openpyxl import load_workbook  # type: ignore[import-untyped]
    except ImportError as error:
        raise ValueError(
            "A template in .xlsx needs the package openpyxl; install it, or save the template as .csv."
        ) from error
    try:
        _check_size(template)
        book = load_workbook(template)
        sheet = book.worksheets[0] if book.active is None else book.active
        if sheet.max_row * sheet.max_column > _MOST_CELLS:
            raise ValueError(f"its sheet says that it has {sheet.max_row} rows and {sheet.max_column} columns")
        cells: Cells = [list(map(_plain, row)) for row in sheet.iter_rows(values_only=True)]
    except Exception as error:  # a damaged workbook may raise any error: of zip, XML, lookup or type
        raise ValueError(f"'{template}' is no workbook ({error}); give the organisers' file as it came.") from error
    before = [list(row) for row in cells]
    count = _fill_cells(cells, scores, column, template)
    # Only filled cells are written: text such as =A1, if written again, would become a formula.
    for row, (old, new) in enumerate(zip(before, cells, strict=True), start=1):
        for place, value in enumerate(new, start=1):
            if place > len(old) or old[place - 1] != value:
                sheet.cell(row, place).value = value
    content = io.BytesIO()
    book.save(content)
    write_bytes(out, content.getvalue())
    return count


def _check_size(template: Path) -> None:
    with zipfile.ZipFile(template) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"it would unpack to {size} bytes")


def _plain(value: Any) -> Any:
    """Return a cell as text, as in a template: 7 for 7.0, because spreadsheets store whole numbers as 7.0."""
    if value is None:
        return ""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fill_cells(cells: Cells, scores: Mapping[str, float], column: str | None, template: Path) -> int:
    """Put the scores into a table in place; its first row may be a header. Return the number of videos."""
    lookup = _lookup(scores)
    known = {*HEADER_NAMES, *([column.lower()] if column is not None else [])}
    has_header = any(str(cell).strip().lower() in known for cell in cells[0])
    header = [str(cell).strip() for cell in cells[0]] if has_header else None
    body = cells[1:] if has_header else cells
    matched = [_match(row, header, lookup) for row in body]
    lost = [" ".join(str(cell) for cell in row) for row, name in zip(body, matched, strict=True) if name is None]
    if lost or not body:
        raise ValueError(
            f"{len(lost)} of {len(body)} rows of '{template}' have no score: {near_misses(lost, scores)}; predict them."
        )
    names = [name for name in matched if name is not None]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValueError(f"'{template}' names {twice!r} twice; keep one row per video.")
    check_scores(scores, names)
    place = _score_column(cells[0], header, column, template)
    if header is not None and place == len(header):
        cells[0].append(column or SCORE_NAMES[0])
    for row, name in zip(body, names, strict=True):
        row += [""] * (place - len(row))
        row[place : place + 1] = [scores[name]]
    return len(names)


def _lookup(scores: Mapping[str, float]) -> dict[str, str]:
    """Return spelling -> video_id, for every spelling that means only one video: the id, its file name, its stem."""
    spellings: dict[str, str | None] = {}
    for name in scores:
        # CVQAD's file names have a prefix that its keys lack.
        for spelling in {name, Path(name).name, Path(name).stem, f"enc_res_{name}"}:
            spellings[spelling] = None if spelling in spellings else name
    spellings.update({name: name for name in scores})
    return {spelling: name for spelling, name in spellings.items() if name is not None}


def _match(row: Sequence[Any], header: Sequence[str] | None, lookup: Mapping[str, str]) -> str | None:
    """Return the video_id of a row, or None if no cell of it names a known video."""
    cells = [str(cell).strip() for cell in row]
    if header is not None and set(KEYS) <= set(header):
        by_name = dict(zip(header, cells, strict=False))
        cells = ["_".join(by_name[key] for key in KEYS)]
    for cell in cells:
        for spelling in (cell, Path(cell).name, Path(cell).stem):
            if spelling in lookup:
                return lookup[spelling]
    return None


def _score_column(first: Sequence[Any], header: Sequence[str] | None, column: str | None, template: Path) -> int:
    if column is not None:
        if header is None or column not in header:
            raise ValueError(f"'{template}' has no column {column!r}; its first row is {', '.join(map(str, first))}.")
        return header.index(column)
    if header is None:
        return 1
    usual = [index for index, name in enumerate(header) if name.lower() in SCORE_NAMES]
    if len(usual) > 1:
        raise ValueError(
            f"'{template}' has several columns for a score ({', '.join(header[index] for index in usual)}); choose one "
            "with `--column`."
        )
    return usual[0] if usual else len(header)
