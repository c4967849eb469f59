"""What stands in for the scoring of videos, in processes that have no need to import anything heavy."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from cvqa_models.serve.jobs import Task
from cvqa_models.serve.limits import Limits
from cvqa_models.serve.work import Answer


@dataclass(frozen=True)
class Stand:
    """Does with a job what its name says."""

    limits: Limits
    model: str = "good"

    def __call__(self, task: Task | None) -> Answer:
        name = self.model if task is None else task.name
        if name == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "hangs":
            time.sleep(600)
        if name == "fails":
            return Answer(fault="it is no good.")
        return Answer({"score": 1.0, "process": os.getpid()})
