"""AVT-VQDB-UHD-1: one folder per test, with `mos_ci.csv`, `metadata.csv` and sometimes `objective_scores.csv`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cvqa_models.csv_dialect import FOUND_OUT, Dialect
from cvqa_models.data.videos import without_extension
from cvqa_models.tables import near_misses, number, read_csv

NAMES = {"src": "source", "video_codec": "codec", "video_bitrate": "bitrate_kbps", "MOS": "mos"}
FACTS = ["video_name", "video_height", "video_frame_rate", "video_bitrate", "video_codec"]
QUANTILE = 1.96  # quantile of the normal distribution for an interval that holds 95 %, as theirs do


def file_key(stem: str) -> str:
    """Return the name of a file as the table spells it; files of frames have the name of their test in front."""
    return re.sub(r"^test_\d+_", "", stem)


def read(src: Path, dialect: Dialect = FOUND_OUT) -> pd.DataFrame:
    """Return canonical columns; a group is a source in one codec in one test, because viewers compared within a test.

    `std` is the standard error of a mean opinion, from its 95 % interval; it is empty if all viewers agreed. Cuts of a
    source that differ only in length (`_8s`) are one reference. The columns of the other tables are kept too.

    Args:
        src: Folder of the data set or of one test, or the `mos_ci.csv` of one.
        dialect: What the user said of how the tables are written.

    Raises:
        FileNotFoundError: If a table is not there.
        ValueError: If a row of scores has no metadata.
    """
    inside = src / "mos_ci.csv"
    files = (
        sorted(src.glob("*/mos_ci.csv")) if src.is_dir() and not inside.is_file() else [inside if src.is_dir() else src]
    )
    if not files:
        raise FileNotFoundError(f"There is no `mos_ci.csv` in '{src}' or its folders; give the folder of the data set.")
    return pd.concat([_test(file, dialect) for file in files], ignore_index=True).fillna("")


def _test(file: Path, dialect: Dialect) -> pd.DataFrame:
    table = read_csv(file, ["src", "video_name", "MOS", "CI"], dialect=dialect)
    facts = read_csv(file.with_name("metadata.csv"), FACTS, dialect=dialect)
    unknown = sorted(set(table["video_name"]) - set(facts["video_name"]))
    if unknown:
        raise ValueError(
            f"'{file}' has scores without metadata: {near_misses(unknown, list(facts['video_name']))}; give both "
            "tables of one test."
        )
    table = table.merge(facts.drop(columns="src", errors="ignore"), on="video_name")
    measured = file.with_name("objective_scores.csv")
    if measured.is_file():
        others = read_csv(measured, ["video_name"], dialect=dialect)
        new = [column for column in others if column == "video_name" or column not in table]
        table = table.merge(others[new], on="video_name", how="left")
    table = table.rename(columns=NAMES)
    table["file"] = table["video_name"]
    table["video_id"] = [without_extension(name) for name in table["file"]]
    table["reference"] = [re.sub(r"_\d+s$", "", source) for source in table["source"]]
    test = file.resolve().parent.name
    table["group"] = [f"{test}/{source}/{codec}" for source, codec in zip(table["source"], table["codec"], strict=True)]
    table["std"] = [repr(error / QUANTILE) if (error := number(cell, 0.0)) else "" for cell in table["CI"]]
    return table
