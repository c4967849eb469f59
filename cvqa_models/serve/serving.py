"""The parts of a running service, from which its answers are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from cvqa_models.serve.jobs import Jobs
from cvqa_models.serve.limits import Limits
from cvqa_models.serve.metrics import Metrics
from cvqa_models.serve.pool import Pool

if TYPE_CHECKING:
    from cvqa_models.serve.votes import Panel


@dataclass(frozen=True)
class Service:
    """The parts of a running service.

    Attributes:
        jobs: The queue.
        pool: The processes.
        metrics: The counters.
        limits: The limits for a video.
        model: Description of the model: `model`, `weights`, `scale`.
        workers: Number of processes.
        uploads: Folder of the files that were sent.
        roots: Folders whose files may be named.
        addresses: Beginnings of addresses that may be fetched.
        panel: A pair test, if there is one.
    """

    jobs: Jobs
    pool: Pool
    metrics: Metrics
    limits: Limits
    model: Mapping[str, str]
    workers: int
    uploads: Path
    roots: Sequence[Path] = ()
    addresses: Sequence[str] = ()
    panel: Panel | None = None


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]
