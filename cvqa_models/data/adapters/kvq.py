"""KVQ (NTIRE 2024): `filename,score` with names such as `train/0001.mp4`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.tables import read_csv


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; the video_id is the file name as the challenge spells it."""
    table = read_csv(src, ["filename", "score"], dialect=dialect)
    table["video_id"] = table["filename"]
    return table.rename(columns={"filename": "file", "score": "mos"})
