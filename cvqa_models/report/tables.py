"""Tables of a report: predictions beside labels, and the score of groups, codecs and bitrate classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cvqa_models.csv_table import near_misses
from cvqa_models.metrics.group_score import GroupScore, Thresholds, evaluate
from cvqa_models.types import VideoRecord

# Inside one codec a group has only its rungs, so the official sizes would leave no group; three points can rank.
SMALLEST = Thresholds(srocc=3, plcc=3, krocc=3)
COEFFICIENTS = ["srocc", "plcc", "krocc"]
BITRATE_CLASS = "bitrate class"
CLASSES = ["low", "mid", "high", "unknown"]


def join(records: Sequence[VideoRecord], scores: Mapping[str, float]) -> pd.DataFrame:
    """Return one row per record that has a score: its table fields, `mos` and `score`.

    Raises:
        ValueError: If a score is of a video that no record has, with the most similar names, or if there is no score.
    """
    known = {record.video_id for record in records}
    unknown = [name for name in scores if name not in known]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(scores)} predictions are of videos that the label table does not have: "
            f"{near_misses(unknown, known)}; give the table that belongs to them."
        )
    rows = [
        {
            "video_id": record.video_id,
            "group": record.group,
            "reference": record.reference,
            "codec": record.codec or "unknown",
            "preset": record.preset,
            "bitrate_kbps": record.bitrate_kbps,
            "mos": record.mos,
            "score": scores[record.video_id],
        }
        for record in records
        if record.video_id in scores
    ]
    if not rows:
        raise ValueError("There is no prediction; give a file with at least one row.")
    frame = pd.DataFrame(rows)
    frame[BITRATE_CLASS] = bitrate_class(frame)
    return frame


def bitrate_class(frame: pd.DataFrame) -> pd.Series:
    """Return `low`, `mid` or `high` per row: the thirds of the bitrates of its group (ours); `unknown` without one."""
    rank = frame.groupby("group")["bitrate_kbps"].rank(pct=True)
    third = pd.cut(rank, [0, 1 / 3, 2 / 3, 1], labels=CLASSES[:3])
    return third.astype(object).where(rank.notna(), "unknown")


def group_table(score: GroupScore) -> pd.DataFrame:
    """Return group, size and coefficients, one row per group."""
    return pd.DataFrame(
        [{"group": g.group, "videos": g.n, **{c: getattr(g, c) for c in COEFFICIENTS}} for g in score.groups]
    )


def class_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the group score inside each value of `column`, with its sign, groups of at least three videos counted."""
    rows = []
    there = set(frame[column])
    for value in [one for one in CLASSES if one in there] if column == BITRATE_CLASS else sorted(there):
        part = frame[frame[column] == value]
        score = evaluate(part["group"].tolist(), part["mos"].to_numpy(), part["score"].to_numpy(), thresholds=SMALLEST)
        rows.append({column: value, "videos": len(part), **{c: getattr(score, c) for c in [*COEFFICIENTS, "result"]}})
    return pd.DataFrame(rows)
