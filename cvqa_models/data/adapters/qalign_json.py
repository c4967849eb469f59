"""Q-Align's score lists: JSON, a list of `{"img_path" or "image": ..., "gt_score": ...}`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.videos import without_extension


def read(src: Path, _: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a JSON list of such objects.
    """
    if not src.is_file():
        raise FileNotFoundError(f"There is no file '{src}'; give a JSON list of scores.")
    try:
        content = json.loads(src.read_text(encoding="utf-8-sig"))
        files = [str(row.get("img_path") or row["image"]) for row in content]
        scores = [str(row["gt_score"]) for row in content]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"'{src}' is no list of objects with `img_path` (or `image`) and `gt_score`; expected one per video."
        ) from error
    return pd.DataFrame({"video_id": [without_extension(name) for name in files], "file": files, "mos": scores})
