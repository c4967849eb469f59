"""The canonical table: one row per video and group, as a CSV that every command reads."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.csv_table import frame_text, numbers, read_csv, rows
from cvqa_models.data.adapters.cvqad import KEYS, cvqad_id, read_cvqad
from cvqa_models.data.atomic import write_text
from cvqa_models.data.files import index_videos, locate
from cvqa_models.types import VideoRecord

COLUMNS = [
    "video_id", "path", "reference", "group", "codec", "preset", "bitrate_kbps", "mos", "split", "weight", "std",
]  # fmt: skip
SPLITS = ("", "train", "val", "test")


class Source(Protocol):
    """Anything that lists videos; a class of its own per data set."""

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
        weigh_by_std: Whether a sure label weighs more in the loss: weights are multiplied by the inverse square of
            `std`, relative to the median of the group.
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
            ValueError: If the table is malformed, or weights need a `std` that is not there.
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
        weights: One per source: how often its items come in an epoch. 2 shows each twice, 0.5 half of them, the others
            in the next epoch; null shows each once. A set of thousands of videos without groups is thousands of videos
            divided by `videos_per_group` items, and would drown one of 57 groups.

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
            ValueError: If two sources have a group of one name, whose scores would then be compared.
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
    """Return the rows of a canonical table; relative paths count from the table's folder.

    A missing group is the table's name, so that a data set without groups is one group; a missing reference is the
    video itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a cell is malformed, or a video stands twice in one group.
    """
    required = ["video_id"] if target == "mos" else ["video_id", target]
    table = read_csv(path, required, dialect=dialect)
    for column in COLUMNS:
        if column not in table:
            table[column] = ""
    mos = numbers(table, target, path, blank=math.nan).tolist()
    weight = numbers(table, "weight", path, blank=1.0).tolist()
    std = numbers(table, "std", path, blank=math.nan).tolist()
    bitrate = numbers(table, "bitrate_kbps", path, blank=math.nan).tolist()
    folder = Path(path).parent
    records = []
    for row, cells in enumerate(table[COLUMNS].to_dict("records")):
        reference = cells["reference"] or cells["video_id"]
        record = VideoRecord(
            video_id=cells["video_id"],
            path=str(locate(folder, cells["path"])) if cells["path"] else None,
            group=cells["group"] or Path(path).stem,
            reference=reference,
            mos=mos[row],
            weight=weight[row],
            std=std[row],
            codec=cells["codec"],
            preset=cells["preset"],
            bitrate_kbps=bitrate[row],
            split=cells["split"],
        )
        _check_row(record, f"'{path}' row {row + 1}")
        records.append(record)
    if "reference_path" in table:
        sources = [str(locate(folder, cell)) if cell else None for cell in table["reference_path"]]
        records = [replace(record, reference_path=source) for record, source in zip(records, sources, strict=True)]
    check_unique(records, path)
    return records


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
        ValueError: If it has neither, or a video stands twice.
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
    """Write a canonical table, its own columns first and any others after them; whole or not at all.

    Raises:
        ValueError: If the file cannot be written.
    """
    ordered = [*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]
    write_text(path, frame_text(table.reindex(columns=ordered)))


def check_unique(records: Iterable[VideoRecord], origin: str | Path) -> None:
    """Raise a ValueError if a video stands twice in one group, or one video_id means two files."""
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


def _check_row(record: VideoRecord, place: str) -> None:
    if not record.video_id:
        raise ValueError(f"{place}: `video_id` is empty; give every video a unique name.")
    if record.split not in SPLITS:
        raise ValueError(f"{place}: `split` is {record.split!r}; expected train, val, test or nothing.")
    if record.weight < 0:
        raise ValueError(f"{place}: `weight` is {record.weight}; expected a number that is not negative.")
    if record.std < 0:
        raise ValueError(f"{place}: `std` is {record.std}; expected a number that is not negative.")
