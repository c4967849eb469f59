"""The work of a process of the service: it holds one model, and scores one video after another."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvqa_models.messages import OF_A_FILE, printable, sentence
from cvqa_models.serve.jobs import Task
from cvqa_models.serve.limits import Limits
from cvqa_models.serve.sources import check_whole

if TYPE_CHECKING:
    from cvqa_models.inference.scorer import Score, Scorer

IMPORTED = ("cvqa_models.inference.load", "cvqa_models.inference.heat", "cvqa_models.report.heat")
"""Modules that one process imports for all. The service does not import them, so it starts fast and stays small."""


@dataclass(frozen=True)
class Answer:
    """What came of a job: a result, maybe with a picture and its heat, or a fault."""

    result: dict[str, Any] | None = None
    picture: bytes | None = None
    heat: bytes | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Work:
    """Scores videos; it can be pickled, and builds its model at the first call.

    Attributes:
        model: Name or path of the model, as for `load`.
        limits: The limits for a video.
        device: Torch device.
        trust: Packages whose classes may be built.
    """

    model: str
    limits: Limits
    device: str = "cpu"
    trust: tuple[str, ...] = ()

    def __call__(self, task: Task | None) -> Answer:
        """Return the outcome of a job; for None, a description of the model."""
        from cvqa_models.inference.opened import as_file

        try:
            scorer = self._scorer()
            if task is None:
                scorer.check()
                return Answer({"model": scorer.model.kind, "weights": scorer.weights, "scale": scorer.scale})
            with as_file(task.source, largest=self.limits.size) as path:
                return self._scored(scorer, task, path)
        except OF_A_FILE as error:
            return Answer(fault=_told(sentence(error), task))

    def _scorer(self) -> Scorer:
        import torch

        from cvqa_models.inference.load import load

        torch.set_num_threads(1)  # each core has its own process
        scorer = vars(self).get("_built") or load(self.model, device=self.device, trust=self.trust)
        object.__setattr__(self, "_built", scorer)
        return scorer

    def _scored(self, scorer: Scorer, task: Task, path: Path) -> Answer:
        from cvqa_models.inference.timeline_files import payload
        from cvqa_models.video.reader import probe

        check_whole(path)
        duration = probe(path, scorer.reading).frame_times.duration
        if duration > self.limits.duration:
            raise ValueError(
                f"'{path}' takes {duration:.1f} s, but at most {self.limits.duration:g} s are scored here; cut it."
            )
        found = scorer(path, seconds=True)
        assert found.timeline is not None  # because seconds were requested
        worst = next(iter(found.timeline.worst()), None)
        result = {
            "video": task.name,
            "measure": scorer.name,
            "score": found.value,
            "scale": found.scale,
            "details": dict(found.details),
            "duration": found.duration,
            "seconds": [None if math.isnan(level) else level for level in found.seconds],
            "worst": None if worst is None else found.timeline.parts.index(worst),
            "timeline": payload(found.timeline),
            "notes": list(found.notes),
            "provenance": vars(found.provenance),
        }
        pictures: tuple[bytes | None, bytes | None] = (None, None)
        with suppress(*OF_A_FILE):  # a score stands without them
            pictures = _pictures(scorer, path, found, 0 if worst is None else worst.worst)
        names = [name for name, content in zip(("worst", "heat"), pictures, strict=True) if content is not None]
        return Answer({**result, "pictures": names}, *pictures)


def _pictures(scorer: Scorer, path: Path, score: Score, frame: int) -> tuple[bytes, bytes | None]:
    """Return a frame, and the same frame with its heat map if the system has one, as contents of PNG files."""
    from cvqa_models.inference.heat import frame_with_heat
    from cvqa_models.report.heat import heated, span
    from cvqa_models.report.pictures import png_of

    picture, values = frame_with_heat(scorer, path, score, frame)
    return png_of(picture), None if values is None else png_of(heated(picture, values, span(values)))


def _told(text: str, task: Task | None) -> str:
    """Return a sentence with the client's name of a video in place of its path on this machine."""
    if task is None:
        return text
    name = printable(task.name)
    text = text.replace(task.source, name)
    return text if name in text else f"'{name}': {text}"
