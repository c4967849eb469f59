"""DIVIDE-MaxWell (DOVER): `path, aesthetic, technical, overall` without a header; three targets."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.videos import without_extension
from cvqa_models.tables import read_csv


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; `mos` is the overall score, and the other two scores keep their columns."""
    table = read_csv(src, names=["file", "aesthetic", "technical", "mos"], dialect=dialect)
    table["video_id"] = [without_extension(name) for name in table["file"]]
    return table
