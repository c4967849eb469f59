"""Tables of a report: predictions with labels, and the score of groups, codecs and bitrate classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cvqa_models.metrics.group_score import GroupScore, Thresholds, evaluate
from cvqa_models.tables import near_misses
from cvqa_models.types import VideoRecord

# Inside one codec a group has only a few rungs, so the official thresholds would leave no group; three videos can rank.
SMALLEST = Thresholds(srocc=3, plcc=3, krocc=3)
COEFFICIENTS = ["srocc", "plcc", "krocc"]
BITRATE_CLASS = "bitrate class"
CLASSES = ["low", "mid", "high"]
UNKNOWN = "unknown"


def join(records: Sequence[VideoRecord], scores: Mapping[str, float]) -> pd.DataFrame:
    """Return one row per record that has a score: its table fields, `mos` and `score`.

    Raises:
        ValueError: If a score is of a video without a record (the message gives similar names), or if there is no
            score.
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
            "codec": record.codec or UNKNOWN,
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
    third = pd.cut(rank, [0, 1 / 3, 2 / 3, 1], labels=CLASSES)
    return third.astype(object).where(rank.notna(), UNKNOWN)


def group_table(score: GroupScore) -> pd.DataFrame:
    """Return group, size and coefficients, one row per group."""
    return pd.DataFrame(
        [{"group": g.group, "videos": g.n, **{c: getattr(g, c) for c in COEFFICIENTS}} for g in score.groups]
    )


def class_table(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the signed group score inside each value of `column`, over groups of at least three videos.

    Videos for which the value is unknown get no row, because a score of them would mean nothing. The table is empty if
    the value is unknown for all.
    """
    rows = []
    there = set(frame[column]) - {"", UNKNOWN}
    for value in [one for one in CLASSES if one in there] if column == BITRATE_CLASS else sorted(there):
        part = frame[frame[column] == value]
        score = evaluate(part["group"].tolist(), part["mos"].to_numpy(), part["score"].to_numpy(), thresholds=SMALLEST)
        rows.append({column: value, "videos": len(part), **{c: getattr(score, c) for c in [*COEFFICIENTS, "result"]}})
    return pd.DataFrame(rows)


def share_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row per trained variant of a cross-validation, with its difference to the first.

    Args:
        found: Content of the file that `cvqa crossval --json` writes.

    Raises:
        ValueError: If it is of another kind.
    """
    try:
        differences = {found["difference_to"]: None, **found["differences"]}
        rows = [
            {"model": name, **row["together"], "difference": differences[name]}
            for name, row in found["rows"].items()
            if "seeds" in row
        ]
        table = pd.DataFrame(rows)[["model", *COEFFICIENTS, "result", "difference"]]
        table["difference"] = [_with_interval(gap) for gap in table["difference"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no rows of trained variants with `together` and a difference: {error!r}") from error
    return table


def _with_interval(gap: Mapping[str, float] | None) -> str:
    return "" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
