"""LEHA-CVQAD (ACM MM 2025), the successor of CVQAD: a column of its table says which videos compare."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.adapters.cvqad import KEYS, cvqad_id
from cvqa_models.tables import read_csv, rows


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns of `Subjective_scores_and_videos_info.csv`; a group is its `comparison`."""
    table = read_csv(src, [*KEYS, "comparison", "MOS"], dialect=dialect)
    table["video_id"] = [cvqad_id(row) for row in rows(table)]
    table["file"] = "enc_res_" + table["video_id"]
    names = {"comparison": "group", "sequence": "reference", "MOS": "mos", "real_bitrate": "bitrate_kbps"}
    return table.rename(columns=names)
