"""A model in memory that scores any video; programs and `cvqa score` use it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cvqa_models import __version__
from cvqa_models.data.shards import local_rank
from cvqa_models.inference.opened import Opened, Video, opened
from cvqa_models.inference.timeline import Timeline, read_timeline
from cvqa_models.models.shipped_level import MEASURES, LevelScores, ShippedLevel
from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.types import Batch, Per, Precision, Prediction
from cvqa_models.video.plan import displayed
from cvqa_models.video.reader import ReadOptions, stacked
from cvqa_models.video.view import View
from cvqa_models.weights.exact import digest

COMPARES = "larger is better; only encodes of one source compare"


@dataclass(frozen=True)
class Provenance:
    """What made a score.

    Attributes:
        model: Class of the model.
        weights: sha256 of all its weights, in hexadecimal.
        decoder: Decoder of the pixels, with version and colour matrix.
        precision: Arithmetic of the network.
        version: Version of this package.
    """

    model: str
    weights: str
    decoder: str
    precision: str
    version: str


@dataclass(frozen=True)
class Score:
    """The score of one video.

    Attributes:
        value: The score.
        scale: What it measures, in words.
        details: Scores of single branches by name, if a system has them.
        seconds: Score of each of the video's equal parts of about a second, in order; empty unless asked for. NaN where
            the system sees nothing of one.
        duration: Length of the video in seconds.
        notes: Anything unusual about the file, each in a few words, such as `interlaced`.
        provenance: What made it.
        maps: Scores of single moments and positions by name, float32 on the CPU, (T,) or (T, rows, columns), where a
            system has them.
        timeline: Its score over time, where that was asked for.
    """

    value: float
    scale: str
    details: Mapping[str, float]
    seconds: tuple[float, ...]
    duration: float
    notes: tuple[str, ...]
    provenance: Provenance
    maps: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    timeline: Timeline | None = field(default=None, repr=False, compare=False)

    @property
    def interval(self) -> tuple[float, float]:
        """Return the ends of the interval of viewers' score, if the model has a calibration (`cvqa calibrate`).

        Raises:
            ValueError: If the model has no calibration.
        """
        if not {"low", "high"} <= set(self.details):
            raise ValueError(
                f"{self.provenance.model} has no calibration, so nobody knows how far its score is from viewers'; fit "
                "one with `cvqa calibrate`."
            )
        return self.details["low"], self.details["high"]


class Scorer:
    """A model that scores videos one by one: a score depends only on the file, the weights and the precision.

    Several threads may use one scorer: they decode in parallel, except for timelines, and take turns on the network. A
    scorer can be pickled.

    Args:
        model: Trained model.
        device: Torch device; `auto` is a GPU if there is one.
        precision: Arithmetic, in Lightning's spelling. `bf16-mixed` is faster on processors with bfloat16, but scores
            differ in the third digit; never compare scores of different precision.
        reading: How files are decoded.

    Raises:
        ValueError: If there is no such device.
    """

    def __init__(
        self,
        model: ScoringModel,
        *,
        device: str = "auto",
        precision: Precision = "32-true",
        reading: ReadOptions | None = None,
    ) -> None:
        self.device = chosen_device(device)
        self.model = model.eval().to(self.device)
        self.precision = precision
        self.reading = reading or ReadOptions()
        self.weights = digest(model)
        self._turn = threading.Lock()

    def __call__(
        self,
        video: Video,
        *,
        fps: float | None = None,
        reference: str | Path | None = None,
        seconds: bool = False,
        per: Per | None = None,
    ) -> Score:
        """Return the score of a video.

        A string is the name of a file on this machine, or an address, and is opened. From strangers accept only bytes,
        as an open file, and never a name.

        Frames in memory are already RGB, so their score may differ from that of the file in the third digit.

        Args:
            video: A path, an address (http, https), a file opened in binary mode, or RGB frames: an array or tensor,
                uint8, shape (T, H, W, 3).
            fps: Frames per second, for frames in memory.
            reference: The source of the video, for full-reference systems.
            seconds: Whether to score each second too; the same as `per="second"`.
            per: Parts of the score's `timeline`: `frame`, `second` or `scene`. The compression level scores all of
                them; other systems only the moments that they see anyway.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the video cannot be read (the message names it and the reason), or the model does not allow
                these arguments.
        """
        per = "second" if per is None and seconds else per
        self.check(reference=reference)
        with opened(video, self.reading, fps, None if reference is None else Path(reference)) as file:
            if per is None:
                return self._score(file, self._prediction(file))
            return self._score(file, *self._timeline(file, per))

    def _score(self, file: Opened, found: Prediction, timeline: Timeline | None = None) -> Score:
        about = Provenance(self.model.kind, self.weights, file.decoder, self.precision, __version__)
        times = file.info.frame_times
        height, width = displayed(file.info.height, file.info.width, self.reading.display)
        unusual = self.model.unusual(height, width, times.fps if times.num_frames > 1 else 0)
        notes = (*file.info.notes, *unusual, *found.notes)
        seconds = timeline.parts if timeline is not None and timeline.per == "second" else ()
        parts = tuple(part.value for part in seconds)
        return Score(found.score, self.scale, found.details, parts, times.duration, notes, about, found.maps, timeline)

    @property
    def name(self) -> str:
        """Return the name of the score in tables: `compression_level`, or `score`."""
        return "compression_level" if self.scale.startswith(MEASURES) else "score"

    @property
    def scale(self) -> str:
        """Return what the scores measure, in words."""
        calibration = self.model.calibration
        if calibration is None:
            return MEASURES if isinstance(self.model, LevelScores) else COMPARES
        low, high = calibration.ends
        share = f"low to high holds {calibration.coverage:.0%} of the videos of a new source like those"
        if isinstance(self.model, ShippedLevel):
            return f"{MEASURES}; {share} of its training"
        return f"the panel's scale from {low:g} to {high:g}, by {calibration.sources} sources; {share}"

    def check(self, *, reference: str | Path | None = None) -> None:
        """Raise a ValueError, or a FileNotFoundError for the source, if the model does not allow these arguments."""
        name = self.model.kind
        measured = [branch for branch, demand in self.model.demands.items() if demand.view is None]
        if measured:
            raise ValueError(
                f"{name} takes measured values as `{measured[0]}`, which no video tells; use `train.py predict` with a "
                "store of them."
            )
        compares = self.compares
        if compares and reference is None:
            raise ValueError(f"{name} compares a video with its source; give it as `reference`.")
        if reference is not None and not compares:
            raise ValueError(f"{name} sees no source; leave `reference` out.")
        if reference is not None and not Path(reference).is_file():
            raise FileNotFoundError(f"There is no video '{reference}'; give the source of the video.")

    @property
    def compares(self) -> bool:
        """Return whether the model also sees the source of a video."""
        return any(view.with_reference for view in self.views.values())

    @property
    def views(self) -> dict[str, View]:
        """Return the views of the model, by key."""
        return {demand.view.key: demand.view for demand in self.model.demands.values() if demand.view is not None}

    def _prediction(self, file: Opened) -> Prediction:
        views = list(self.views.values())
        return self._predicted(file, stacked(views, file.clips(views)))

    def _predicted(self, file: Opened, views: Mapping[str, Tensor]) -> Prediction:
        batch = _alone(file.name, views)
        with self._turn, torch.inference_mode(), self._arithmetic():
            return self.model.predict_step(batch.to(self.device), 0)[0]

    def _timeline(self, file: Opened, per: Per) -> tuple[Prediction, Timeline]:
        with self._turn:
            return read_timeline(self.model, file, per, self.name, _alone, self._arithmetic)

    @contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """Set the precision, and one thread for the level: it is so small that more would mostly wait, by spinning."""
        threads = torch.get_num_threads()
        if isinstance(self.model, LevelScores):
            torch.set_num_threads(1)
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
                yield
        finally:
            torch.set_num_threads(threads)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turn=threading.Lock())


def score_together(
    scorers: Mapping[str, Scorer],
    video: Video,
    *,
    fps: float | None = None,
    reference: str | Path | None = None,
) -> dict[str, Score]:
    """Return the score of a video by each of several models, from one decode; each score is the same as from one model.

    Args:
        scorers: Name -> scorer; all must read files in the same way.
        video: The video, as for a scorer.
        fps: Frames per second, for frames in memory.
        reference: The source of the video, for models that need it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the scorers read files differently, the video cannot be read, or a model does not allow these
            arguments.
    """
    readings = {scorer.reading for scorer in scorers.values()}
    if len(readings) != 1:
        raise ValueError(f"{len(scorers)} models read files in {len(readings)} ways; give all the same `reading`.")
    for scorer in scorers.values():
        scorer.check(reference=reference if scorer.compares else None)
    views = list({key: view for scorer in scorers.values() for key, view in scorer.views.items()}.values())
    with opened(video, readings.pop(), fps, None if reference is None else Path(reference)) as file:
        seen = stacked(views, file.clips(views))
        return {
            name: scorer._score(file, scorer._predicted(file, {key: seen[key] for key in scorer.views}))
            for name, scorer in scorers.items()
        }


def own_device() -> str:
    """Return the GPU for this process among those that a launcher started on this machine, else the CPU."""
    if not torch.cuda.is_available():
        return "cpu"
    # SLURM often shows each task only its own GPU.
    return f"cuda:{local_rank() % torch.cuda.device_count()}"


def chosen_device(name: str) -> torch.device:
    """Return a device that can be used here; `auto` is the GPU for this process if there is one.

    Raises:
        ValueError: If no device has that name.
    """
    chosen = own_device() if name == "auto" else name
    try:
        return torch.empty(0, device=chosen).device
    except (RuntimeError, AssertionError) as error:  # an AssertionError means that this torch has no GPU support
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"`device` is {name!r}, which cannot be used here ({reason}); expected auto, cpu, or cuda on a GPU."
        ) from error


def _alone(name: str, views: Mapping[str, Tensor]) -> Batch:
    """Return one video as a batch, in its own group."""
    return Batch(
        video_id=[name],
        group_name=[name],
        group=torch.zeros(1, dtype=torch.int64),
        mos=torch.full((1,), torch.nan),
        weight=torch.ones(1),
        views={key: view[None] for key, view in views.items()},
    )
