"""KoNViD-1k: an attribute table with shorter names than the files (`123` for `123_centercrop_..._8s.mp4`)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.tables import near_misses, read_csv

FILE_COLUMNS = ("file_name", "flickr_id")


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns.

    Raises:
        ValueError: If no column names the files.
    """
    table = read_csv(src, ["MOS"], dialect=dialect)
    column = next((name for name in FILE_COLUMNS if name in table), None)
    if column is None:
        raise ValueError(
            f"'{src}' has no column {near_misses(FILE_COLUMNS, list(table.columns))}; expected one of them."
        )
    table["video_id"] = [file_key(Path(name).stem) for name in table[column]]
    table["file"] = table["video_id"]
    return table.rename(columns={"MOS": "mos"})


def file_key(stem: str) -> str:
    """Return the number with which both spellings of a file's name begin."""
    return stem.split("_", maxsplit=1)[0]
