"""The canonical table: one row per video and group, as a CSV that every command reads."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.adapters.cvqad import KEYS, cvqad_id, read_cvqad
from cvqa_models.data.labels import LabelTable
from cvqa_models.data.videos import index_videos, locate
from cvqa_models.files import write_text
from cvqa_models.remote import beside
from cvqa_models.tables import frame_text, numbers, read_csv, rows
from cvqa_models.types import VideoRecord

COLUMNS = [
    "video_id", "path", "reference", "group", "codec", "preset", "bitrate_kbps", "mos", "split", "weight", "std",
]  # fmt: skip
SPLITS = ("", "train", "val", "test")


class Source(Protocol):
    """Anything that lists videos; each kind of data set has its own class."""

    def records(self) -> list[VideoRecord]:
        """Return the videos in a fixed order."""
        ...


class Manifest:
    """Videos of a canonical table; `cvqa import` writes such tables.

    Args:
        path: CSV with `video_id` and any of path, reference, group, codec, preset, bitrate_kbps, mos, split, weight,
            std.
        target: Column that holds the score, for data sets with several.
        higher_is_better: Whether a larger score means better quality; otherwise the score is negated.
        weigh_by_std: Whether labels with a small `std` get more weight in the loss: weights are multiplied by the
            inverse square of `std`, relative to the median of the group.
    """

    def __init__(
        self, path: str, *, target: str = "mos", higher_is_better: bool = True, weigh_by_std: bool = False
    ) -> None:
        self.path = path
        self.target = target
        self.higher_is_better = higher_is_better
        self.weigh_by_std = weigh_by_std

    def records(self) -> list[VideoRecord]:
        """Return the videos in the order of the table.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the table is malformed, or weights need a `std` that is missing.
        """
        records = read_manifest(self.path, target=self.target)
        if self.weigh_by_std:
            records = _weighted_by_std(records, self.path)
        return records if self.higher_is_better else [replace(record, mos=-record.mos) for record in records]


class Folder:
    """Every video below a folder, without labels, as one group: for prediction.

    Args:
        path: Folder of videos; the video_id is the file's stem.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def records(self) -> list[VideoRecord]:
        """Return the videos in the order of their paths."""
        videos = index_videos(self.path)
        group = Path(self.path).resolve().name
        return [VideoRecord(stem, str(file), group, stem) for stem, file in videos.items()]


class Mixed:
    """Several sources in one training; their groups stay apart, so their scores need not share a scale.

    Args:
        sources: Data sets.
        weights: How often the items of each source come in an epoch, one number per source. 2 uses each item twice; 0.5
            uses half of them, and the other half in the next epoch; null uses each once. A data set of thousands of
            videos without groups has (videos / `videos_per_group`) items, many more than a data set of 57 groups; a
            weight evens this out.

    Raises:
        ValueError: If there is not one positive weight per source.
    """

    def __init__(self, sources: list[Source], *, weights: list[float] | None = None) -> None:
        self.sources = sources
        self.weights = weights if weights is not None else [1.0] * len(sources)
        if len(self.weights) != len(sources) or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(
                f"`weights` is {weights} for {len(sources)} sources; expected one positive number for each."
            )

    def records(self) -> list[VideoRecord]:
        """Return the videos of the first source, then of the next.

        Raises:
            ValueError: If two sources have a group of the same name, as their scores would then be compared.
        """
        mixed: list[VideoRecord] = []
        for number, (source, weight) in enumerate(zip(self.sources, self.weights, strict=True), start=1):
            records = [replace(record, visits=weight * record.visits) for record in source.records()]
            shared = sorted({record.group for record in records} & {record.group for record in mixed})
            if shared:
                raise ValueError(
                    f"Source {number} of the mix has the group {shared[0]!r}, as one before it has; import it again "
                    "with another `--name`, or rename its groups."
                )
            mixed += records
        return mixed


def read_manifest(path: str | Path, *, target: str = "mos", dialect: Dialect = FOUND_OUT) -> list[VideoRecord]:
    """Return the rows of a canonical table; relative paths start at the table's folder.

    A row without a group gets the table's name as group, so a data set without groups is one group. A row without a
    reference gets its own `video_id` as reference.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a cell is malformed, or a video is repeated in a group.
    """
    required = ["video_id"] if target == "mos" else ["video_id", target]
    columns = _columns(read_csv(path, required, dialect=dialect), path, target)
    folder = Path(path).parent
    for name in ("path", "reference_path"):
        columns[name] = [beside(path, cell) or str(locate(folder, cell)) if cell else None for cell in columns[name]]
    names = list(columns)
    records = [VideoRecord(**dict(zip(names, cells, strict=True))) for cells in zip(*columns.values(), strict=True)]
    check_unique(records, path)
    return records


def _columns(table: pd.DataFrame, path: str | Path, target: str = "mos") -> dict[str, list[Any]]:
    """Return the columns of a canonical table, field of `VideoRecord` -> values; all is checked but repeated rows.

    Raises:
        ValueError: If a cell is malformed.
    """
    blanks = {"mos": math.nan, "weight": 1.0, "std": math.nan, "bitrate_kbps": math.nan}
    columns: dict[str, list[Any]] = {}
    for name in [*COLUMNS, "reference_path"]:
        source = target if name == "mos" else name
        if source not in table:
            columns[name] = [blanks.get(name, "")] * len(table)
        elif name in blanks:
            columns[name] = numbers(table, source, path, blank=blanks[name]).tolist()
        else:
            columns[name] = table[source].tolist()
    stem = Path(path).stem
    if not all(columns["group"]):
        columns["group"] = [group or stem for group in columns["group"]]
    if not all(columns["reference"]):
        pairs = zip(columns["reference"], columns["video_id"], strict=True)
        columns["reference"] = [reference or video_id for reference, video_id in pairs]
    _check_columns(columns, path)
    return columns


def read_labels(path: str | Path, dialect: Dialect = FOUND_OUT) -> LabelTable:
    """Return the columns of a label table that evaluation needs: a canonical one, or one with CVQAD's columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is malformed.
    """
    table = read_csv(path, dialect=dialect)
    if {*KEYS, "subjective_score"} <= set(table):
        return LabelTable.of(read_cvqad(str(path), dialect=dialect))
    if "video_id" not in table:  # with another separator it may have that column
        table = read_csv(path, ["video_id"], dialect=dialect)
    columns = _columns(table, path)
    del table
    if len(set(columns["video_id"])) < len(columns["video_id"]):
        return LabelTable.of(read_manifest(path, dialect=dialect))  # it also checks for repeated rows
    return LabelTable(
        **{name: columns[name] for name in ("video_id", "group", "reference", "codec", "preset")},
        mos=np.array(columns["mos"]),
        bitrate=np.array(columns["bitrate_kbps"]),
    )


def read_table(path: str | Path, dialect: Dialect = FOUND_OUT) -> list[VideoRecord]:
    """Return the rows of a label table: a canonical one, or one with CVQAD's columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is malformed.
    """
    if {*KEYS, "subjective_score"} <= set(read_csv(path, dialect=dialect)):
        return read_cvqad(str(path), dialect=dialect)
    return read_manifest(path, dialect=dialect)


def read_table_ids(path: str | Path) -> list[str]:
    """Return the video_id of each row of a table, which has that column or CVQAD's keys.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has neither, or a video is repeated.
    """
    table = read_csv(path)
    if "video_id" in table:
        ids = table["video_id"].tolist()
    elif set(KEYS) <= set(table.columns):
        ids = [cvqad_id(row) for row in rows(table)]
    else:
        raise ValueError(f"'{path}' has no column `video_id`, nor {', '.join(KEYS)}; add one that names the videos.")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise ValueError(f"'{path}': {twice[0]!r} stands twice; keep one row per video.")
    return ids


def write_manifest(path: str | Path, table: pd.DataFrame) -> None:
    """Write a canonical table, its canonical columns first and any others after them; whole or not at all.

    Raises:
        ValueError: If the file cannot be written.
    """
    ordered = [*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]
    write_text(path, frame_text(table.reindex(columns=ordered)))


def check_unique(records: Iterable[VideoRecord], origin: str | Path) -> None:
    """Raise a ValueError if a video is repeated in a group, or a video_id names two files."""
    records = list(records)
    if len({record.video_id for record in records}) == len(records):
        return
    seen: set[tuple[str, str]] = set()
    paths: dict[str, str | None] = {}
    for record in records:
        key = (record.video_id, record.group)
        if key in seen:
            raise ValueError(f"'{origin}': {record.video_id!r} stands twice in group {record.group!r}; keep one row.")
        seen.add(key)
        if paths.setdefault(record.video_id, record.path) != record.path:
            raise ValueError(
                f"'{origin}': {record.video_id!r} names two files, '{paths[record.video_id]}' and '{record.path}'; "
                "give each file an id of its own."
            )


def _weighted_by_std(records: list[VideoRecord], path: str) -> list[VideoRecord]:
    unsure = [record.video_id for record in records if not record.std > 0]
    if unsure:
        raise ValueError(
            f"'{path}': `std` is no positive number for {len(unsure)} of {len(records)} videos (first: {unsure[0]!r}), "
            "but weights come from it; fill the column or leave `weigh_by_std` out."
        )
    groups: dict[str, list[float]] = {}
    for record in records:
        groups.setdefault(record.group, []).append(record.std)
    usual = {group: statistics.median(spreads) for group, spreads in groups.items()}
    return [replace(one, weight=one.weight * (usual[one.group] / one.std) ** 2) for one in records]


def _check_columns(columns: Mapping[str, list[Any]], path: str | Path) -> None:
    """Raise a ValueError that names the first row with a value that is not allowed."""
    negative = any((np.array(columns[name]) < 0).any() for name in ("weight", "std"))
    if all(columns["video_id"]) and set(columns["split"]) <= set(SPLITS) and not negative:
        return
    least = {name: [row for row, value in enumerate(columns[name]) if value < 0] for name in ("weight", "std")}
    splits = [row for row, split in enumerate(columns["split"]) if split not in SPLITS]
    nameless = [row for row, name in enumerate(columns["video_id"]) if not name]
    row = min([*nameless[:1], *splits[:1], *least["weight"][:1], *least["std"][:1]], default=None)
    assert row is not None
    place = f"'{path}' row {row + 1}"
    if row in nameless[:1]:
        raise ValueError(f"{place}: `video_id` is empty; give every video a unique name.")
    if row in splits[:1]:
        raise ValueError(f"{place}: `split` is {columns['split'][row]!r}; expected train, val, test or nothing.")
    name = "weight" if row in least["weight"][:1] else "std"
    raise ValueError(f"{place}: `{name}` is {columns[name][row]}; expected a number that is not negative.")
