"""The few records that cross a layer: a video in a table, what a branch demands, and what a batch holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from cvqa_models.video.view import View


@dataclass(frozen=True)
class VideoRecord:
    """One row of a data set: a compressed video in its comparison group.

    Attributes:
        video_id: Unique key; for CVQAD `{codec}_{preset}_{sequence}_{crf}`.
        path: Video file, or None for a row that is only served from cached features.
        group: Name of the set in which scores compare, for CVQAD `{sequence}/{preset}`.
        reference: Name of the pristine source; splits go by it.
        mos: Subjective score, larger is better; NaN where it is not known.
        weight: Non-negative weight of the label in the loss.
        std: Standard error or deviation of the score, in its own unit; NaN if unknown.
        reference_path: Source file, for full-reference systems.
        codec: Standard or encoder name, empty if unknown.
        preset: Encoder speed class, empty if unknown.
        bitrate_kbps: Measured bitrate, NaN if unknown.
        split: `train`, `val` or `test` where the data set prescribes it, empty otherwise.
        visits: How often an epoch of training visits its group: set by a mix of data sets, the same in a whole group.
    """

    video_id: str
    path: str | None
    group: str
    reference: str
    mos: float = math.nan
    weight: float = 1.0
    std: float = math.nan
    reference_path: str | None = None
    codec: str = ""
    preset: str = ""
    bitrate_kbps: float = math.nan
    split: str = ""
    visits: float = 1.0


@dataclass(frozen=True)
class Demand:
    """What one branch needs from the data side.

    Attributes:
        view: The frames and geometry that the branch sees.
        cache_key: Folder of the branch in a feature store; None when its features must not be cached
            (trained weights, or a view that is random in training).
    """

    view: View
    cache_key: str | None


@dataclass
class Batch:
    """Videos of one or more groups, every view stacked.

    Attributes:
        video_id: B names.
        group_name: B group names.
        group: Index of the group inside this batch, int64, shape (B,).
        mos: Subjective scores, float32, shape (B,); NaN where unknown.
        weight: Label weights, float32, shape (B,).
        views: View key -> uint8, shape (B, N, C, T, H, W): N clips of T frames.
        features: Branch name -> cached tokens, float32, shape (B, N, D).
    """

    video_id: list[str]
    group_name: list[str]
    group: Tensor
    mos: Tensor
    weight: Tensor
    views: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.video_id)

    def select(self, rows: slice) -> Batch:
        """Return the batch of the videos `rows`, with the same group indices."""
        return Batch(
            video_id=self.video_id[rows],
            group_name=self.group_name[rows],
            group=self.group[rows],
            mos=self.mos[rows],
            weight=self.weight[rows],
            views={key: view[rows] for key, view in self.views.items()},
            features={name: tokens[rows] for name, tokens in self.features.items()},
        )

    def singles(self) -> Iterator[Batch]:
        """Yield each video as a batch of its own, in memory of its own.

        A network rounds a video otherwise beside others, where kernels of other shapes run, and even at another place
        in memory; evaluation takes videos so, and gives one the same bits in a table as alone.
        """
        for row in range(len(self)):
            one = self.select(slice(row, row + 1))
            yield replace(
                one,
                views={key: view.clone() for key, view in one.views.items()},
                features={name: tokens.clone() for name, tokens in one.features.items()},
            )

    def to(self, device: object, non_blocking: bool = False) -> Batch:
        """Return the batch with every tensor on `device`; Lightning calls this."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)  # type: ignore[call-overload, no-any-return]

        return Batch(
            video_id=self.video_id,
            group_name=self.group_name,
            group=move(self.group),
            mos=move(self.mos),
            weight=move(self.weight),
            views={key: move(view) for key, view in self.views.items()},
            features={name: move(tokens) for name, tokens in self.features.items()},
        )


@dataclass
class Prediction:
    """The score of one video in one group.

    Not frozen: Lightning walks through what a prediction step returns and refuses frozen records.

    Attributes:
        video_id: The video.
        group: Its group.
        score: Its score.
        details: Scores of single branches, where a system has them.
        maps: Scores of single moments and positions, float32 on the CPU, (T,) or (T, rows, columns), likewise.
    """

    video_id: str
    group: str
    score: float
    details: dict[str, float] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)
