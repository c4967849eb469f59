"""YouTube-UGC: `YOUTUBE_UGC_metadata.csv`, one score for the whole video and three for its chunks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.tables import read_csv


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; `mos` is MOSFull, its spread is stdFull, and the columns of chunk scores are kept."""
    table = read_csv(src, ["vid", "MOSFull"], dialect=dialect)
    table["file"] = table["vid"]
    return table.rename(columns={"vid": "video_id", "MOSFull": "mos", "stdFull": "std"})
