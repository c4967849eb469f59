"""LSVQ: names without extension, a flag for the official test part."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.tables import read_csv


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; rows flagged `is_test` get the split test, so that training does not use them."""
    table = read_csv(src, ["name", "mos"], dialect=dialect)
    table["file"] = table["name"]
    if "is_test" in table:
        table["split"] = ["test" if flag.lower() in ("true", "1", "1.0") else "" for flag in table["is_test"]]
    return table.rename(columns={"name": "video_id"})
