"""A made-up comparison: encoders whose rates differ by known factors, on three sources."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

FACTORS = {"x264": 1.0, "x265": 0.7, "vvenc": 0.5, "old": 1.25}
SOURCES = ("city", "river", "forest")
RATES = (200, 400, 800, 1600, 3200)
Row = dict[str, object]


def rows() -> list[Row]:
    """Return an encode per source, encoder and rate, with a score that depends on rate and source alone."""
    return [
        {
            "video_id": f"{codec}_fast_{source}_{rate}",
            "reference": source,
            "codec": codec,
            "preset": "fast",
            "bitrate_kbps": rate * factor * (1 + number / 10),
            "score": 20 * np.log10(rate) + 5 * number,
        }
        for number, source in enumerate(SOURCES)
        for codec, factor in FACTORS.items()
        for rate in RATES
    ]


def write(folder: Path, encodes: list[Row], scores: tuple[str, ...] = ("score",)) -> tuple[Path, Path]:
    """Write a manifest and a table of scores, and return both."""
    manifest, table = folder / "manifest.csv", folder / "scores.csv"
    columns = [name for name in encodes[0] if name not in scores]
    for path, header in ((manifest, columns), (table, ["video_id", *scores])):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *([row.get(name, "") for name in header] for row in encodes)])
    return manifest, table
