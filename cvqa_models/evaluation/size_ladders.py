"""For encodes in several sizes: find which size is best at which rate, and the ladder that follows from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cvqa_models.metrics.convex_hull import ladder, upper_hull


@dataclass(frozen=True)
class Rung:
    """One encode of a hull: its name, height, rate in kb/s and score."""

    video_id: str
    lines: int
    kbps: float
    score: float


@dataclass(frozen=True)
class SizeLadder:
    """The convex hull of one source and encoder over its sizes.

    Attributes:
        source: The source.
        preset: The preset, empty if unknown or if presets are compared.
        encoder: The encoder.
        hull: Encodes that no mixture of two others beats, in rising order of rate.
        rungs: Encodes of the hull that form a ladder: neighbours differ in rate by a factor of at least 1.5.
    """

    source: str
    preset: str
    encoder: str
    hull: tuple[Rung, ...]
    rungs: tuple[Rung, ...]


def size_ladders(videos: pd.DataFrame, turned: Collection[str], score: str) -> list[SizeLadder]:
    """Return the ladder of each source and encoder that has several sizes.

    Args:
        videos: Columns `video_id`, `source`, `preset`, `encoder`, `lines`, `kbps`, and the score.
        turned: Scores for which lower is better.
        score: The score by which encodes are chosen.
    """
    known = videos[videos[score].notna() & (videos["lines"] > 0)]
    found = []
    for (source, preset, encoder), rows in known.groupby(["source", "preset", "encoder"], sort=True):
        if rows["lines"].nunique() < 2:
            continue
        rate = rows["kbps"].to_numpy(dtype=np.float64)
        hull = upper_hull(rate, rows[score].to_numpy(dtype=np.float64) * (-1 if score in turned else 1))
        chosen = [
            tuple(
                Rung(row["video_id"], int(row["lines"]), float(row["kbps"]), float(row[score]))
                for _, row in rows.iloc[points].iterrows()
            )
            for points in (hull, ladder(rate, hull))
        ]
        found.append(SizeLadder(str(source), str(preset), str(encoder), chosen[0], chosen[1]))
    return found
