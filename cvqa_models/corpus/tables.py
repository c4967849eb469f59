"""The tables of built videos: labels, and the canonical table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from cvqa_models.corpus.encoding.encode import Encode
from cvqa_models.corpus.references import Reference


def label_table(encodes: Sequence[Encode], scores: NDArray) -> pd.DataFrame:
    """Return a label table with CVQAD's eight columns in its order.

    Args:
        encodes: One encode per row.
        scores: `subjective_score` of each, shape (n,).

    Returns:
        `crf` is the rung, `real_bitrate` the measured rate in kb/s, and `bitrate` says in which third of its ladder a
        rung lies (low, mid, high).
    """
    table = pd.DataFrame(
        {
            "codec": [one.codec for one in encodes],
            "preset": [one.preset for one in encodes],
            "sequence": [one.sequence for one in encodes],
            "crf": [f"{one.rung:g}" for one in encodes],
            "standard": [one.standard for one in encodes],
            "real_bitrate": [round(one.kbps, 1) for one in encodes],
        }
    )
    place = table.groupby(["codec", "preset", "sequence"])["real_bitrate"].rank(method="first", pct=True)
    table["bitrate"] = pd.cut(place, [0, 0.34, 0.67, 1], labels=["low", "mid", "high"]).astype(str)
    table["subjective_score"] = scores
    return table


def manifest_table(encodes: Sequence[Encode], sources: Mapping[str, Reference], root: Path) -> pd.DataFrame:
    """Return the canonical table of encodes, without scores, with paths relative to `root`."""
    return pd.DataFrame(
        {
            "video_id": [one.video_id for one in encodes],
            "path": [relpath(one.path, root) for one in encodes],
            "reference": [one.sequence for one in encodes],
            "group": [f"{one.sequence}/{one.preset}" for one in encodes],
            "codec": [one.codec for one in encodes],
            "preset": [one.preset for one in encodes],
            "bitrate_kbps": [round(one.kbps, 1) for one in encodes],
            "reference_path": [relpath(sources[one.sequence].path, root) for one in encodes],
            "standard": [one.standard for one in encodes],
            "rung": [f"{one.rung:g}" for one in encodes],
        }
    )
