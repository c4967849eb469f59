"""Videos of a run that the report shows with pictures: those with the lowest and those with the worst predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cvqa_models.messages import OF_A_FILE, follow, sentence
from cvqa_models.report.drawn import Maps, heat_of, worst_stills
from cvqa_models.report.html import plot
from cvqa_models.report.plots import png
from cvqa_models.report.residuals import fitted
from cvqa_models.report.timeline_plots import timeline_figure
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions

if TYPE_CHECKING:
    from cvqa_models.inference.timeline import Timeline

CASES = 3

Seen = tuple["Timeline", Callable[[Sequence[int]], Maps]]
Eyes = Callable[[str], Seen]
"""Function from the path of a video to its timeline, and to a function from frame indices to their score maps."""


def cases(frame: pd.DataFrame, records: Sequence[VideoRecord], options: ReadOptions, eyes: Eyes) -> str:
    """Return the worst and the most misjudged videos whose files are here, as a part of a page; empty if none.

    Args:
        frame: Joined table of `report.tables.join`.
        records: Its videos.
        options: How they are read.
        eyes: Gives the timeline and score maps of a video.
    """
    paths = {one.video_id: one.path for one in records if one.path is not None and Path(one.path).is_file()}
    there = frame.assign(fitted=fitted(frame))
    there = there[there["video_id"].isin(list(paths))]
    off = (there["fitted"] - there["mos"]).to_numpy(dtype=np.float64)
    wrong = there.iloc[np.argsort(-np.abs(off), kind="stable")][: int((~np.isnan(off)).sum())].head(CASES)
    low = there.sort_values("score", kind="stable").head(CASES)
    wanted = list(dict.fromkeys([*wrong["video_id"], *low["video_id"]]))
    if not wanted:
        return ""
    drawn = {name: _drawn(str(paths[name]), options, eyes) for name in follow(wanted, "pictures")}
    also = dict.fromkeys(wrong["video_id"], "<p class=note>Its pictures stand above.</p>")
    note = "Misjudged by how far the prediction, put on the labels' scale by its group's line, lies from the label."
    return (
        f"<h2>Most misjudged</h2><p class=note>{note}</p>"
        + "".join(_case(row, drawn) for _, row in wrong.iterrows())
        + "<h2>Predicted lowest</h2>"
        + "".join(_case(row, drawn | also) for _, row in low.iterrows())
    )


def _case(row: pd.Series, drawn: Mapping[str, str]) -> str:
    told = f"scored {row['mos']:.4g}, predicted {row['score']:.4g}"
    if not np.isnan(row["fitted"]):
        told += f", which is {row['fitted']:.4g} on the labels' scale ({row['fitted'] - row['mos']:+.3g})"
    return f"<h3>{escape(str(row['video_id']))}</h3><p>{escape(told)}</p>{drawn[row['video_id']]}"


def _drawn(path: str, options: ReadOptions, eyes: Eyes) -> str:
    """Return the pictures of a video; if it cannot be read, the reason."""
    try:
        timeline, maps_at = eyes(path)
        stills = worst_stills(path, timeline, options)
        heat = heat_of(path, timeline, options, maps_at, video=False)
    except OF_A_FILE as error:
        return f"<p class=warning>{escape(sentence(error))}</p>"
    content = png(timeline_figure({path: timeline}, {path: stills}))
    parts = [plot(content, "scores over time, and the worst frames")]
    if heat is not None:
        parts.append(plot(heat.picture, "where the worst frame is bad"))
    return "".join(parts)
