"""The few records that layers share: a video of a table, the demand of a branch, a batch, and a prediction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cvqa_models.video.view import View


# Words that a user may choose. They stand here so that help needs no import of a decoder or a network.
DecoderName = Literal["auto", "pyav", "torchcodec", "ffmpeg", "decord"]
Untagged = Literal["bt709", "bt601"]
Hdr = Literal["refuse", "tonemap", "keep"]
Precision = Literal["32-true", "bf16-mixed"]
Constant = Literal["zero", "skip"]
Criterion = Literal["result", "mse"]
Layout = Literal["generic", "cvqad", "kvq", "text"]
By = Literal["group", "reference"]
Per = Literal["frame", "second", "scene"]


@dataclass(frozen=True)
class VideoRecord:
    """One row of a data set: a compressed video in its comparison group.

    Attributes:
        video_id: Unique key; for CVQAD `{codec}_{preset}_{sequence}_{crf}`.
        path: Video file, or None if only its cached features are used.
        group: Name of the set in which scores compare, for CVQAD `{sequence}/{preset}`.
        reference: Name of the pristine source; splits go by it.
        mos: Subjective score, larger is better; NaN if unknown.
        weight: Non-negative weight of the label in the loss.
        std: Standard error or deviation of the score, in its own unit; NaN if unknown.
        reference_path: Source file, for full-reference systems.
        codec: Standard or encoder name, empty if unknown.
        preset: Encoder speed class, empty if unknown.
        bitrate_kbps: Measured bitrate, NaN if unknown.
        split: `train`, `val` or `test` if the data set prescribes it, else empty.
        visits: How often an epoch of training uses its group; a mix of data sets sets it, the same for a whole group.
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
        view: The frames and geometry that the branch sees; None for measured values, which come only from a store.
        cache_key: Folder of the branch in a feature store; None when its features must not be cached
            (trained weights, or a view that is random in training).
    """

    view: View | None
    cache_key: str | None


@dataclass
class Batch:
    """Videos of one or more groups, with each view stacked to one tensor.

    Attributes:
        video_id: B names.
        group_name: B group names.
        group: Index of the group inside this batch, int64, shape (B,).
        mos: Subjective scores, float32, shape (B,); NaN where unknown.
        weight: Label weights, float32, shape (B,).
        views: View key -> uint8, shape (B, N, C, T, H, W): N clips of T frames.
        features: Branch name -> cached tokens, float32, shape (B, N, D).
        seeds: A number per video, int64, shape (B,), on the CPU, from which branches draw random places in training. It
            comes from the generator of the views, so it is the same where they show the same places. None in
            evaluation.
    """

    video_id: list[str]
    group_name: list[str]
    group: Tensor
    mos: Tensor
    weight: Tensor
    views: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    seeds: Tensor | None = None

    def __len__(self) -> int:
        return len(self.video_id)

    def select(self, rows: slice) -> Batch:
        """Return the batch of the videos at `rows`; group indices stay the same."""
        return Batch(
            video_id=self.video_id[rows],
            group_name=self.group_name[rows],
            group=self.group[rows],
            mos=self.mos[rows],
            weight=self.weight[rows],
            views={key: view[rows] for key, view in self.views.items()},
            features={name: tokens[rows] for name, tokens in self.features.items()},
            seeds=None if self.seeds is None else self.seeds[rows],
        )

    def singles(self) -> Iterator[Batch]:
        """Yield each video as its own batch, copied to its own memory.

        A network rounds a video differently if other videos are in its batch (kernels of other shapes run), and even at
        another place in memory. Evaluation uses this, so a video in a table gets the same score to the bit as alone.
        """
        for row in range(len(self)):
            one = self.select(slice(row, row + 1))
            yield replace(
                one,
                views={key: view.clone() for key, view in one.views.items()},
                features={name: tokens.clone() for name, tokens in one.features.items()},
            )

    def to(self, device: object, non_blocking: bool = False) -> Batch:
        """Return the batch with every tensor but `seeds` on `device`; Lightning calls this."""

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
            seeds=self.seeds,
        )


@dataclass
class Prediction:
    """The score of one video in one group.

    Not frozen: Lightning walks through the result of a prediction step and refuses frozen records.

    Attributes:
        video_id: The video.
        group: Its group.
        score: Its score.
        details: Scores of single branches, where a system has them.
        maps: Scores of single moments and positions, if it has them, float32 on the CPU, (T,) or (T, rows, columns).
        notes: Reasons to doubt the score, each in a few words.
    """

    video_id: str
    group: str
    score: float
    details: dict[str, float] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class Baselines:
    """Scores that come from no training, such as the bitrate, for N videos.

    Attributes:
        scores: Name -> score of each video, larger is better, shape (N,).
        missing: One sentence for each baseline that is missing: why.
    """

    scores: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
