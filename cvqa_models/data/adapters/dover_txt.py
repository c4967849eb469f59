"""Label lists of FAST-VQA and DOVER for many data sets: `path, duration, fps, mos` without a header."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.videos import without_extension
from cvqa_models.tables import read_csv


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; duration and frame rate are -1 if the list does not give them."""
    table = read_csv(src, names=["file", "duration", "fps", "mos"], dialect=dialect)
    table["video_id"] = [without_extension(name) for name in table["file"]]
    return table
