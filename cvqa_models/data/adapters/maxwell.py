"""DIVIDE-MaxWell (DOVER): `path, aesthetic, technical, overall` without a header; three targets."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.csv_table import read_csv
from cvqa_models.data.files import without_extension


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; `mos` is the overall score, the other two keep columns of their own."""
    table = read_csv(src, names=["file", "aesthetic", "technical", "mos"], dialect=dialect)
    table["video_id"] = [without_extension(name) for name in table["file"]]
    return table
