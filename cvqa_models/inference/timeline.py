"""A score over time: the score of a video and of its frames, seconds or scenes, from one decode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvqa_models.inference.moments import Moments, frames_of_maps, moments
from cvqa_models.inference.opened import Opened
from cvqa_models.metrics.pooling import pooled
from cvqa_models.models.shipped_level import LevelScores
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.types import Batch, Per, Prediction
from cvqa_models.video.changes import Changes, freezes
from cvqa_models.video.frame_rules import TOLERANCE, ClipsOverTime, FrameTimes
from cvqa_models.video.looking import EveryPair
from cvqa_models.video.reader import stacked
from cvqa_models.video.view import View

APART = 0.9  # seconds between the starts of the worst parts; parts of a second may be slightly shorter than 1 s
PAIRS_PER_SECOND = {"second": 2, "scene": 8}  # pairs of frames for the level of a part; a frame has its own pair


@dataclass(frozen=True)
class Part:
    """A frame, second or scene of a video.

    Attributes:
        start: When it begins, in seconds.
        end: When the next begins.
        first: Index of its first frame.
        frames: Its number of frames.
        value: Its score; NaN if the system sees no frame of it.
        repeated: Number of its frames that repeat the frame before.
        worst: Index of its frame with the lowest score; the middle frame if the system sees none of it.
    """

    start: float
    end: float
    first: int
    frames: int
    value: float
    repeated: int
    worst: int


@dataclass(frozen=True)
class Timeline:
    """The score of a video over its time.

    Attributes:
        name: Name of the score: `compression_level`, or `score`.
        per: Kind of the parts: `frame`, `second` or `scene`.
        score: Score of the whole video, the same as without a timeline.
        fps: Frames per second.
        duration: Length of the video in seconds.
        parts: Its parts in order. If they are single frames, only those that the system sees.
        cuts: When scenes begin, except the first, in seconds.
        freezes: Start and end of each freeze: the picture stands still for a fifth of a second or longer.
        repeated: Number of frames that repeat the frame before; a still scene has such frames too.
        seen: Name of a score map -> index of a frame at each of its moments.
    """

    name: str
    per: Per
    score: float
    fps: float
    duration: float
    parts: tuple[Part, ...]
    cuts: tuple[float, ...]
    freezes: tuple[tuple[float, float], ...]
    repeated: int
    seen: Mapping[str, NDArray[np.int64]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pooled(self) -> dict[str, float]:
        """Return the mean, harmonic mean, minimum, maximum and low percentiles over frames; each has its part's value.

        See `cvqa_models.metrics.pooling.pooled`.
        """
        return pooled([part.value for part in self.parts], [part.frames for part in self.parts])

    @property
    def frozen_seconds(self) -> float:
        """Return for how many seconds the picture stands still."""
        return sum(end - start for start, end in self.freezes)

    def worst(self, count: int = 1) -> list[Part]:
        """Return the parts with the lowest values, the lowest first, those that begin a second or more apart."""
        chosen: list[Part] = []
        for part in sorted((part for part in self.parts if part.value == part.value), key=lambda part: part.value):
            if len(chosen) < count and all(abs(part.start - other.start) > APART for other in chosen):
                chosen.append(part)
        return chosen


def read_timeline(
    model: ScoringModel,
    video: Opened,
    per: Per,
    name: str,
    alone: Callable[[str, Mapping[str, Tensor]], Batch],
    arithmetic: Callable[[], AbstractContextManager[object]],
) -> tuple[Prediction, Timeline]:
    """Return the prediction of a video and its timeline, from one decode.

    Clips of the compression level are scored as they are decoded, so memory does not grow with the length of the video.

    Args:
        model: The model.
        video: The video.
        per: Kind of the parts: `frame`, `second` or `scene`.
        name: Name of the score.
        alone: Makes a batch of one video from its name and views.
        arithmetic: Makes the context in which networks run.

    Raises:
        ValueError: If the file cannot be decoded (the message names it and the reason), or the model has no scores of
            moments.
    """
    changes, seen = Changes(), {}
    with torch.inference_mode(), arithmetic():
        if isinstance(model, LevelScores):
            prediction, told = _of_level(model, video, per, alone, changes)
        else:
            views = list({d.view.key: d.view for d in model.demands.values() if d.view is not None}.values())
            batch = alone(video.name, stacked(views, video.clips(views, changes))).to(model.device)
            features = model.features(batch)
            prediction = model.prediction(batch, features)
            told = moments(model, features, changes.frame_times)
            seen = frames_of_maps(model, features, prediction.maps, changes.frame_times)
    times = changes.frame_times
    still = tuple((times.times[first], _time(times, last + 1)) for first, last in freezes(changes))
    cuts = tuple(times.times[cut] for cut in changes.cuts)
    parts = tuple(_parts(per, told, changes))
    return prediction, Timeline(
        name, per, prediction.score, times.fps, times.duration, parts, cuts, still, len(changes.repeats), seen
    )


def _of_level(
    model: LevelScores,
    video: Opened,
    per: Per,
    alone: Callable[[str, Mapping[str, Tensor]], Batch],
    changes: Changes,
) -> tuple[Prediction, Moments]:
    whole = model.each_branch()["level"].view
    assert whole is not None  # `Scorer.check` refuses measured values
    seconds = max(1, round(video.info.frame_times.duration))
    rule = EveryPair() if per == "frame" else ClipsOverTime(PAIRS_PER_SECOND[per] * seconds, whole.frames.clip_length)
    dense = View(rule, whole.pixels)
    tokens: dict[str, dict[int, Tensor]] = defaultdict(dict)
    for key, index, clip in video.clips([whole, dense], changes):
        seen = clip[None, None].to(model.device)
        tokens[key][index] = model.branches["level"].tokens(seen)[0, 0].float()  # type: ignore[operator]
    ordered = {key: torch.stack([found[index] for index in sorted(found)])[None] for key, found in tokens.items()}
    prediction = model.prediction(alone(video.name, {}), {"level": ordered[whole.key]})
    with model.full_precision():
        raw = model.levels(ordered[dense.key])[0]
    values = np.array([model.calibrated(value)[0] for value in raw.tolist()], np.float32)
    return prediction, _on_one_side(per, values, rule.indices(changes.frame_times)[:, -1], changes)


def _on_one_side(per: Per, values: NDArray[np.float32], frames: NDArray[np.int64], changes: Changes) -> Moments:
    """Return moments of pairs of frames, whose second frames are `frames`; pairs across a cut belong to no scene."""
    across = np.isin(frames, changes.cuts)
    if per == "frame":  # the first frame of a scene takes the next pair
        instead = across & ~np.append(across[1:], True)
        values = np.where(instead, np.append(values[1:], values[-1:]), values)
        frames = np.arange(len(values))
    elif per == "second":  # as in the score of the whole video: by equal parts of time
        places = (np.arange(len(values), dtype=np.float64) + 0.5) * (changes.frame_times.duration / len(values))
        return Moments(frames, places, values)
    else:
        values, frames = values[~across], frames[~across]
    return Moments(frames, np.asarray(changes.frame_times.times)[frames], values)


def _parts(per: Per, told: Moments, changes: Changes) -> list[Part]:
    times, repeats = changes.frame_times, np.isin(np.arange(changes.frame_times.num_frames), changes.repeats)
    if per == "frame":
        firsts = np.unique(told.frames)
        starts, counts = [times.times[first] for first in firsts], np.ones(len(firsts), np.int64)
        owner = np.searchsorted(firsts, told.frames)
        ends = [_time(times, first + 1) for first in firsts]
    else:
        if per == "second":
            number = max(1, round(times.duration))
            starts = [part * times.duration / number for part in range(number)]
        else:
            starts = [0.0, *(times.times[cut] for cut in changes.cuts)]
        ends = [*starts[1:], times.duration]
        borders = np.searchsorted(times.times, [*np.array(starts) - TOLERANCE, np.inf])
        firsts, counts = borders[:-1], np.diff(borders)
        owner = np.searchsorted(starts, told.times + TOLERANCE * (per == "scene"), side="right") - 1
    parts = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        first, count = int(firsts[number]), int(counts[number])
        own = owner == number
        value = float(told.values[own].mean()) if own.any() else float("nan")
        worst = int(told.frames[own][told.values[own].argmin()]) if own.any() else first + count // 2
        parts.append(Part(start, end, first, count, value, int(repeats[first : first + count].sum()), worst))
    return parts


def _time(times: FrameTimes, index: int) -> float:
    return times.times[index] if index < times.num_frames else times.duration
