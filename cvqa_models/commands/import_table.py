"""`cvqa import`: turn the label file of any data set into the canonical table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say


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
    delimiter: str | None = None,
    decimal: str | None = None,
    json: Path | None = None,
) -> None:
    """Write a canonical table from a data set's own label file, and print how many rows, groups and videos it has.

    Args:
        format: cvqad, leha, kvq, dover-txt, konvid, ytugc, lsvq, maxwell, qalign-json, avt, nvc, votes for pairs
            (left, right, answer, and group or test_case), or csv for any table.
        src: The label file.
        out: The table to write.
        videos: Folder of the videos, searched at any depth; without it, the table has only the paths of its column
            `path`.
        name: Name of the data set; by default the label file's name. It is also the group of rows without a group.
        columns: For csv: `canonical=column` for each column, such as video_id=name mos=MOS reference=scene std=SD; if
            left out, columns must have canonical names. Other columns are kept, as further targets.
        group_by: Columns that together name the group.
        higher_is_better: false for scores such as DMOS; they are then negated.
        partial: Whether bad rows, rows without a video and videos without a row are left out; otherwise they are an
            error.
        delimiter: What separates the cells, if detected wrongly: `,`, `;`, `|` or tab.
        decimal: The decimal mark, if detected wrongly: `.` or `,`.
        json: File for the result: table, and numbers of videos, groups, references, files and missing scores.

    Examples:
        cvqa import konvid KoNViD_1k_mos.csv --videos KoNViD_1k_videos --out konvid.csv
        cvqa import csv mine.csv --columns video_id=file mos=score reference=scene --out manifest.csv
    """
    check_there("label file", src)
    check_there("folder", videos)
    from cvqa_models.corpus.labels import import_table as library  # slow to import
    from cvqa_models.csv_dialect import Dialect

    found = library.import_table(
        format,
        src,
        out,
        videos=videos,
        name=name,
        columns=dict(word.partition("=")[::2] for word in columns or []),
        group_by=group_by or [],
        higher_is_better=higher_is_better,
        partial=partial,
        dialect=Dialect(delimiter, decimal),
    )
    if json is not None:
        write_json(json, {"manifest": str(out), **asdict(found)})
    say(
        f"{out}: {found.videos} videos in {found.groups} groups, {found.references} references; {found.files} have a "
        f"file, {found.without_score} have no score"
    )
