"""AVT's comparison of neural and classic codecs (NVC): `results.json`, a list with one object per video."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect

NAMES = {"name": "video_id", "source": "reference"}
NEEDED = ("name", "source", "codec", "bitrate", "mos")


def read(src: Path, _: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; a group is a source in one codec. The columns of sizes and metrics are kept.

    Args:
        src: `results.json`; its `bitrate` is in bits a second.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a JSON list of such objects.
    """
    if not src.is_file():
        raise FileNotFoundError(f"There is no file '{src}'; give `results.json`.")
    try:
        content = json.loads(src.read_text(encoding="utf-8-sig"))
        found = [{**row, **{name: row[name] for name in NEEDED}} for row in content]
        rates = [repr(float(row["bitrate"]) / 1000) for row in found]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"'{src}' is no list of objects with {', '.join(f'`{name}`' for name in NEEDED)}; expected one per video."
        ) from error
    table = pd.DataFrame(found).fillna("").astype(str).rename(columns=NAMES)
    group = [f"{reference}/{codec}" for reference, codec in zip(table["reference"], table["codec"], strict=True)]
    return table.assign(bitrate_kbps=rates, group=group)
