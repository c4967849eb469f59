"""Labels as columns: a million records would take more memory, and most of the time of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cvqa_models.types import VideoRecord

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelTable:
    """What evaluation needs to know of N videos; see `VideoRecord`.

    Attributes:
        video_id: Name of each video; a video of several groups is repeated.
        group: Its group.
        reference: Its source.
        codec: Its codec, empty if unknown.
        preset: Its preset, empty if unknown.
        mos: Subjective scores, shape (N,); NaN if unknown.
        bitrate: Bitrates in kbit/s, shape (N,); NaN if unknown.
    """

    video_id: list[str]
    group: list[str]
    reference: list[str]
    codec: list[str]
    preset: list[str]
    mos: Floats
    bitrate: Floats

    @classmethod
    def of(cls, records: Sequence[VideoRecord]) -> LabelTable:
        """Return the labels of records."""
        return cls(
            [one.video_id for one in records],
            [one.group for one in records],
            [one.reference for one in records],
            [one.codec for one in records],
            [one.preset for one in records],
            np.array([one.mos for one in records], dtype=np.float64),
            np.array([one.bitrate_kbps for one in records], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.video_id)

    def take(self, rows: NDArray[np.int64]) -> LabelTable:
        """Return the videos in these rows."""
        picked = rows.tolist()
        return LabelTable(
            [self.video_id[row] for row in picked],
            [self.group[row] for row in picked],
            [self.reference[row] for row in picked],
            [self.codec[row] for row in picked],
            [self.preset[row] for row in picked],
            self.mos[rows],
            self.bitrate[rows],
        )
