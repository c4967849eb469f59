"""`cvqa import`: any data set's label file into the canonical table."""

from __future__ import annotations

import importlib
import math
import os
from pathlib import Path
from types import ModuleType

import pandas as pd
from rich.console import Console

from cvqa_models.data import adapters
from cvqa_models.data.csv_table import near_misses, numbers, read_csv
from cvqa_models.data.files import match_videos
from cvqa_models.data.manifest import COLUMNS, read_manifest, write_manifest


def import_table(
    format: str,
    src: Path,
    /,
    *,
    out: Path,
    videos: Path | None = None,
    name: str | None = None,
    columns: list[str] | None = None,
    group_by: list[str] | None = None,
    higher_is_better: bool = True,
    partial: bool = False,
) -> None:
    """Write a canonical table from a data set's own label file, and say how many rows, groups and videos it has.

    Args:
        format: cvqad, leha, kvq, dover-txt, konvid, ytugc, lsvq, maxwell, qalign-json, or csv for any table.
        src: The label file.
        out: The table to write.
        videos: Folder of the videos, searched in all its subfolders; without it the table has no paths.
        name: Name of the data set, which is its group where it has none; the label file's name if left out.
        columns: For csv: `canonical=column` for each column, such as video_id=name mos=MOS reference=scene.
        group_by: Columns that together name the group.
        higher_is_better: false for DMOS and the like; scores are negated then.
        partial: Whether rows without a video and videos without a row are left out instead of refused.
    """
    adapter = None if format == "csv" else _adapter(format)
    table = read_columns(src, columns or []) if adapter is None else adapter.read(src)
    table = canonical(table, src, name or src.stem, group_by or [], higher_is_better)
    if videos is not None:
        files = dict(zip(table["video_id"], table["file"], strict=True))
        paths = match_videos(files, videos, partial=partial, file_key=getattr(adapter, "file_key", str))
        table = table[table["video_id"].isin(paths)].copy()
        table["path"] = [os.path.relpath(paths[video_id], out.parent) for video_id in table["video_id"]]
    write_manifest(out, table.drop(columns="file"))
    records = read_manifest(out)
    groups, references = ({getattr(record, field) for record in records} for field in ("group", "reference"))
    found = sum(record.path is not None for record in records)
    unscored = sum(math.isnan(record.mos) for record in records)
    Console().print(
        f"{out}: {len(records)} videos in {len(groups)} groups, {len(references)} references; {found} have a file, "
        f"{unscored} have no score",
        soft_wrap=True,
    )


def read_columns(src: Path, columns: list[str]) -> pd.DataFrame:
    """Return a CSV with its columns renamed by `canonical=column` words; `video_id` is needed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a word is malformed, or a column is not there.
    """
    words = dict(word.partition("=")[::2] for word in columns)
    unknown = [name for name in words if name not in [*COLUMNS, "file"] or not words[name]]
    if unknown or "video_id" not in words:
        raise ValueError(
            f"`--columns` is {columns}; expected video_id=COLUMN and any of {', '.join(COLUMNS[1:])}, file likewise."
        )
    table = read_csv(src, words.values())
    for canonical_name, column in words.items():
        table[canonical_name] = table[column]
    return table


def canonical(table: pd.DataFrame, src: Path, name: str, group_by: list[str], higher_is_better: bool) -> pd.DataFrame:
    """Return the table with every canonical column filled and checked; other columns stay as they are.

    Raises:
        ValueError: If a score is no number, a video stands twice, or `group_by` names no column.
    """
    table = table.copy()
    missing = [column for column in group_by if column not in table]
    if missing:
        raise ValueError(
            f"`--group_by` names {near_misses(missing, list(table.columns))}, which is no column of '{src}'."
        )
    for column in [*COLUMNS, "file"]:
        if column not in table:
            table[column] = ""
    table["path"] = ""
    table["file"] = table["file"].where(table["file"] != "", table["video_id"])
    table["reference"] = table["reference"].where(table["reference"] != "", table["video_id"])
    table["group"] = table["group"].where(table["group"] != "", name)
    if group_by:
        table["group"] = ["/".join(cells) for cells in table[group_by].itertuples(index=False, name=None)]
    mos = numbers(table, "mos", src, blank=math.nan)
    table["mos"] = mos if higher_is_better else -mos
    twice = table[table.duplicated("video_id")]
    if len(twice):
        raise ValueError(
            f"'{src}': {twice['video_id'].iloc[0]!r} stands twice ({len(twice)} such rows); keep one of each."
        )
    return table


def _adapter(format: str) -> ModuleType:
    folder = Path(adapters.__path__[0])
    names = sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if path.stem != "__init__")
    if format not in names:
        raise ValueError(f"The format is {near_misses([format], names)}; expected one of {', '.join(names)}, csv.")
    return importlib.import_module(f"{adapters.__name__}.{format.replace('-', '_')}")
