"""CVQAD: the label table of the AIM 2024 challenge on compressed video quality, and tables with its columns."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.matching import match_videos
from cvqa_models.data.videos import index_videos
from cvqa_models.tables import near_misses, numbers, read_csv, rows
from cvqa_models.types import VideoRecord

KEYS = ("codec", "preset", "sequence", "crf")
# crowd-run-2019, -2020 and -2021 are one source; so are the tractors and the blue-hairs.
SAME_CONTENT = re.compile(r"-(20\d\d|ugc)$")


class Cvqad:
    """Videos of a table with the columns codec, preset, sequence, crf and subjective_score.

    A group is `{sequence}/{preset}`, a reference is the sequence. Files are found by stem, in any subfolder and with
    any extension.

    Args:
        labels: CSV file.
        videos: Folder of the videos; null if every branch reads cached features.
        filename_template: Stem of a video's file.
        references: Folder of the sources, with the sequence as stem; only full-reference systems need it.
        join_same_content: Whether sequences that differ only in `-20xx` or `-ugc` count as one reference, so that
            no split has the same content on both sides.
        partial: Whether labels without a video, and videos without a label, are left out; otherwise they are an error.
    """

    def __init__(
        self,
        labels: str,
        *,
        videos: str | None = None,
        filename_template: str = "enc_res_{codec}_{preset}_{sequence}_{crf}",
        references: str | None = None,
        join_same_content: bool = True,
        partial: bool = False,
    ) -> None:
        fields = {name for _, name, _, _ in Formatter().parse(filename_template) if name is not None}
        if fields != set(KEYS):
            raise ValueError(f"`filename_template` is {filename_template!r}; expected exactly {{{'}, {'.join(KEYS)}}}.")
        self.labels = labels
        self.videos = videos
        self.filename_template = filename_template
        self.references = references
        self.join_same_content = join_same_content
        self.partial = partial

    def records(self) -> list[VideoRecord]:
        """Return the videos in the order of the table.

        Raises:
            FileNotFoundError: If the table or a folder is not there.
            ValueError: If the table is malformed, or does not match the folder; the message gives the nearest names.
        """
        records = read_cvqad(self.labels, join_same_content=self.join_same_content)
        keys = rows(read_csv(self.labels, KEYS))
        if self.references is not None:
            sources = _sources([row["sequence"] for row in keys], self.references)
            records = [replace(record, reference_path=path) for record, path in zip(records, sources, strict=True)]
        if self.videos is None:
            return records
        stems = {cvqad_id(row): self.filename_template.format(**row) for row in keys}
        prefix = self.filename_template.split("{", maxsplit=1)[0]
        paths = match_videos(stems, self.videos, partial=self.partial, prefix=prefix)
        return [replace(record, path=paths[record.video_id]) for record in records if record.video_id in paths]


def read_cvqad(path: str, *, join_same_content: bool = False, dialect: Dialect = FOUND_OUT) -> list[VideoRecord]:
    """Return the rows of a table with CVQAD's columns, without paths.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a score or bitrate is not a number, or a key is repeated.
    """
    table = read_csv(path, [*KEYS, "subjective_score"], dialect=dialect)
    mos = numbers(table, "subjective_score", path)
    if "real_bitrate" not in table:
        table["real_bitrate"] = ""
    bitrate = numbers(table, "real_bitrate", path, blank=math.nan)
    records: dict[str, VideoRecord] = {}
    for number, (row, score, rate) in enumerate(zip(rows(table), mos, bitrate, strict=True), start=1):
        video_id = cvqad_id(row)
        if video_id in records:
            raise ValueError(f"'{path}' row {number}: {video_id!r} stands twice; keep one row per encode.")
        sequence = row["sequence"]
        records[video_id] = VideoRecord(
            video_id=video_id,
            path=None,
            group=f"{sequence}/{row['preset']}",
            reference=SAME_CONTENT.sub("", sequence) if join_same_content else sequence,
            mos=score,
            codec=row["codec"],
            preset=row["preset"],
            bitrate_kbps=rate,
        )
    return list(records.values())


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns for `cvqa import`."""
    table = read_csv(src, [*KEYS, "subjective_score"], dialect=dialect)
    table["video_id"] = [cvqad_id(row) for row in rows(table)]
    table["file"] = "enc_res_" + table["video_id"]
    table["group"] = table["sequence"] + "/" + table["preset"]
    table["reference"] = [SAME_CONTENT.sub("", sequence) for sequence in table["sequence"]]
    # `bitrate` is a class (low, mid, high), and `crf` a rate or a quantiser: neither is a bitrate in kb/s.
    return table.rename(columns={"subjective_score": "mos", "real_bitrate": "bitrate_kbps"})


def cvqad_id(row: dict[str, str]) -> str:
    """Return the video_id of a row: `{codec}_{preset}_{sequence}_{crf}`."""
    return "_".join(row[key] for key in KEYS)


def _sources(sequences: list[str], folder: str) -> list[str]:
    files = index_videos(folder)
    missing = sorted({name for name in sequences if name not in files})
    if missing:
        raise ValueError(
            f"'{folder}' has no source for {len(missing)} sequences: {near_misses(missing, files)}; name each "
            "file after its sequence."
        )
    return [str(files[name]) for name in sequences]
