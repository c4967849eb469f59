"""Turn the label file of any data set into the canonical table."""

from __future__ import annotations

import importlib
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

from cvqa_models.corpus.labels.vote_files import read_votes
from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data import adapters
from cvqa_models.data.manifest import COLUMNS, SPLITS, read_manifest, write_manifest
from cvqa_models.data.matching import match_videos
from cvqa_models.data.videos import locate
from cvqa_models.tables import near_misses, no_number, number, read_csv, rows
from cvqa_models.types import VideoRecord

log = logging.getLogger(__name__)

BLANK = {"mos": math.nan, "bitrate_kbps": math.nan, "weight": 1.0, "std": math.nan}  # numeric columns


@dataclass(frozen=True)
class Imported:
    """The counts of a canonical table.

    Attributes:
        videos: Number of rows.
        groups: Number of sets in which scores compare.
        references: Number of sources.
        files: Number of videos that have a file.
        without_score: Number of videos that have no score.
    """

    videos: int
    groups: int
    references: int
    files: int
    without_score: int


def import_table(
    format: str,
    src: str | Path,
    out: str | Path,
    *,
    videos: str | Path | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    group_by: Sequence[str] = (),
    higher_is_better: bool = True,
    partial: bool = False,
    dialect: Dialect = FOUND_OUT,
) -> Imported:
    r"""Write a canonical table from a data set's own label file, and return how many rows, groups and videos it has.

    Args:
        format: Name of an adapter, such as cvqad, leha, kvq, dover-txt, konvid, ytugc, lsvq, maxwell, avt, nvc or
            qalign-json; votes for pair comparisons (left, right, answer, and group or test_case); or csv for any table.
        src: The label file.
        out: The table to write.
        videos: Folder of the videos, searched at any depth; without it, the table has only the paths of its column
            `path`.
        name: Name of the data set; the default is the label file's name. It is also the group of rows without a group.
        columns: For csv: canonical name -> column; if left out, columns must have canonical names. Other columns are
            kept, as further targets.
        group_by: Columns that together name the group.
        higher_is_better: False for scores such as DMOS; they are then negated.
        partial: Whether bad rows, rows without a video and videos without a row are left out; otherwise they are an
            error.
        dialect: What the user said of how the label file is written.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        ValueError: If the format is unknown, or the table or its videos have an error.

    Examples:
        >>> from pathlib import Path
        >>> import cvqa_models
        >>> _ = Path("scores.csv").write_text("clip,score,scene\na1,3.5,a\na2,2.0,a\n")
        >>> columns = {"video_id": "clip", "mos": "score", "reference": "scene"}
        >>> cvqa_models.import_table("csv", "scores.csv", "manifest.csv", columns=columns).videos
        2
    """
    src, out = Path(src), Path(out)
    adapter = None if format in ("csv", "votes") else _adapter(format)
    if adapter is not None:
        table = adapter.read(src, dialect)
    else:
        table = scored_votes(src, dialect) if format == "votes" else read_columns(src, columns or {}, dialect)
    table = canonical(table, src, name or src.stem, group_by, higher_is_better)
    table = _good_rows(table, src, partial)
    if videos is not None:
        files = dict(zip(table["video_id"], table["file"], strict=True))
        paths = match_videos(files, Path(videos), partial=partial, file_key=getattr(adapter, "file_key", str))
        table = table[table["video_id"].isin(paths)].copy()
        table["path"] = [os.path.relpath(paths[video_id], out.parent) for video_id in table["video_id"]]
    else:
        table["path"] = _seen_from(out, src, table["path"])
    if "reference_path" in table:
        table["reference_path"] = _seen_from(out, src, table["reference_path"])
    write_manifest(out, table.drop(columns="file"))
    records = read_manifest(out)
    groups, references = ({getattr(record, field) for record in records} for field in ("group", "reference"))
    found = sum(record.path is not None for record in records)
    unscored = sum(math.isnan(record.mos) for record in records)
    _warn_of_mixed_groups(records)
    return Imported(len(records), len(groups), len(references), found, unscored)


def _warn_of_mixed_groups(records: list[VideoRecord]) -> None:
    """Warn if a group holds several references: their videos are then compared with each other."""
    inside: dict[str, list[VideoRecord]] = {}
    for record in records:
        inside.setdefault(record.group, []).append(record)
    held = {group: {record.reference for record in own} for group, own in inside.items()}
    mixed = [group for group, references in held.items() if len(references) > 1]
    if not mixed:
        return
    first = mixed[0]
    others = f" (and {len(mixed) - 1} groups more)" if len(mixed) > 1 else ""
    start = f"group '{first}'{others} holds {len(held[first])} references, so that videos of different sources are"
    if len(held[first]) == len(inside[first]):
        log.warning(
            "%s compared, which is right where every video is a scene of its own. If some are encodes of one source, "
            "name it with `--columns reference=COLUMN`, and type `--group-by reference`.",
            start,
        )
        return
    presets = any(record.preset for record in records)
    log.warning(
        "%s compared. If people compared encodes of one source only, type `--group-by reference%s`.",
        start,
        " preset" if presets else "",
    )


def _seen_from(out: Path, src: Path, paths: Iterable[str]) -> list[str]:
    """Return paths relative to the folder of `out`, given paths relative to the folder of `src`."""
    return [os.path.relpath(locate(src.parent, path), out.parent) if path else "" for path in paths]


def read_columns(src: Path, columns: Mapping[str, str], dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return a CSV with its columns renamed, canonical name -> column; `video_id` is needed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name is not canonical, or a column is missing.
    """
    if any(name not in [*COLUMNS, "file"] or not column for name, column in columns.items()):
        given = [f"{name}={column}" for name, column in columns.items()]
        raise ValueError(f"`--columns` is {given}; expected NAME=COLUMN with the names {', '.join(COLUMNS)}, file.")
    words = dict(columns)
    words.setdefault("video_id", "video_id")
    table = read_csv(src, dialect=dialect)
    missing = [column for column in words.values() if column not in table]
    if missing:
        raise ValueError(
            f"'{src}' has no column {near_misses(missing, list(table.columns))}; its header is "
            f"{', '.join(table.columns)[:200]}; say which is which, as in `--columns video_id=NAME mos=SCORE`."
        )
    for canonical_name, column in words.items():
        table[canonical_name] = table[column]
    return table


def scored_votes(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns with Bradley-Terry scores from pair votes; problems with single votes are logged.

    The group is taken as reference, because votes do not say which groups share content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, an answer is unknown, or no group can be scored.
    """
    fitted = read_votes(src, dialect=dialect)[0]
    names = {"score": "mos", "standard_error": "std"}
    return fitted.rename(columns=names).assign(reference=fitted["group"]).astype(str)


def canonical(
    table: pd.DataFrame, src: Path, name: str, group_by: Sequence[str], higher_is_better: bool
) -> pd.DataFrame:
    """Return the table with all canonical columns; other columns stay as they are.

    Raises:
        ValueError: If `group_by` names a column that is missing.
    """
    table = table.copy()
    missing = [column for column in group_by if column not in table]
    if missing:
        raise ValueError(
            f"`--group-by` names {near_misses(missing, list(table.columns))}, which is no column of '{src}'."
        )
    for column in [*COLUMNS, "file"]:
        if column not in table:
            table[column] = ""
    table["file"] = table["file"].where(table["file"] != "", table["video_id"])
    table["reference"] = table["reference"].where(table["reference"] != "", table["video_id"])
    table["group"] = table["group"].where(table["group"] != "", name)
    if group_by:
        table["group"] = ["/".join(cells) for cells in table[group_by].itertuples(index=False, name=None)]
    if not higher_is_better:
        table["mos"] = [cell if number(cell) is None else repr(-float(cell)) for cell in table["mos"]]
    return table


def _good_rows(table: pd.DataFrame, src: Path, partial: bool) -> pd.DataFrame:
    """Return the rows without a fault.

    Raises:
        ValueError: If a row has a fault and `partial` is false, or no row is without a fault.
    """
    twice = table.duplicated(["video_id", "group"])
    faults = [_fault(cells, again) for cells, again in zip(rows(table), twice, strict=True)]
    bad = [f"row {row}: {fault}" for row, fault in enumerate(faults, start=1) if fault]
    if bad and not partial:
        others = f"; {len(bad)} of {len(table)} rows have a fault" if len(bad) > 1 else ""
        raise ValueError(f"'{src}' {bad[0]}{others}. Correct the table, or leave such rows out with `--partial`.")
    if bad:
        log.warning("'%s': %d of %d rows are left out (first: %s).", src, len(bad), len(table), bad[0])
    if len(bad) == len(table):
        raise ValueError(f"'{src}' has no row without a fault (first: {bad[0]}); correct the table.")
    return table[[fault is None for fault in faults]].copy()


def _fault(cells: dict[str, str], again: bool) -> str | None:
    if not cells["video_id"]:
        return "`video_id` is empty"
    if again:
        return f"{cells['video_id']!r} stands twice in group {cells['group']!r}"
    if cells["split"] not in SPLITS:
        return f"`split` is {cells['split']!r}, expected train, val, test or nothing"
    for column, blank in BLANK.items():
        value = number(cells[column], blank)
        if value is None:
            return no_number(column, cells[column])
        if column in ("weight", "std") and value < 0:
            return f"`{column}` is {value}, expected a number that is not negative"
    return None


def _adapter(format: str) -> ModuleType:
    folder = Path(adapters.__path__[0])
    names = sorted(path.stem.replace("_", "-") for path in folder.glob("*.py") if path.stem != "__init__")
    if format not in names:
        known = [*names, "votes", "csv"]
        raise ValueError(f"The format is {near_misses([format], known)}; expected one of {', '.join(known)}.")
    return importlib.import_module(f"{adapters.__name__}.{format.replace('-', '_')}")
