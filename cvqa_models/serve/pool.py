"""Processes that score jobs, each one video at a time; a process that dies or takes too long is replaced."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from cvqa_models.data.workers import Died, Worker, process_context
from cvqa_models.messages import printable
from cvqa_models.serve.jobs import Jobs, Task
from cvqa_models.serve.metrics import Metrics
from cvqa_models.serve.work import IMPORTED, Answer, Work

log = logging.getLogger(__name__)

_AGAIN = 1.0  # seconds until a failed write to the disk is tried again


@dataclass
class _Running:
    worker: Worker[Task | None, Answer]
    task: Task | None
    begun: float
    limit: float


class Pool:
    """Takes jobs in order and stores their results; this runs in its own thread.

    Args:
        work: Function that a process calls with a job.
        jobs: The queue.
        metrics: Counters for the jobs.
        workers: Number of processes.
    """

    def __init__(self, work: Work, jobs: Jobs, metrics: Metrics, workers: int) -> None:
        self._work, self._jobs, self._metrics, self._workers = work, jobs, metrics, workers
        self._context = process_context(IMPORTED)
        self._idle: list[Worker[Task | None, Answer]] = []
        self._busy: dict[Connection, _Running] = {}
        self._bell, self._rope = os.pipe()
        for end in (self._bell, self._rope):
            os.set_blocking(end, False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pool", daemon=True)

    def start(self) -> dict[str, Any]:
        """Start the processes, and return a description of the model once the first process has built it.

        Raises:
            ValueError: If the model cannot be built, or cannot score single videos.
        """
        first = self._new()
        first.take(None)
        answer = first.result()
        if isinstance(answer, Died):
            raise ValueError(f"The process that builds the model ended ({answer}); is there memory for it?")
        if answer.result is None:
            first.kill()
            raise ValueError(answer.fault)
        self._idle.append(first)
        for _ in range(self._workers - 1):
            self._give(self._new(), None)
        self._thread.start()
        return answer.result

    def wake(self) -> None:
        """Make the thread look for waiting jobs."""
        with suppress(BlockingIOError):  # it was already told
            os.write(self._rope, b"\0")

    @property
    def alive(self) -> bool:
        """Return whether jobs are processed."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the processes; unfinished jobs run again after a restart."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        for worker in [*self._idle, *(one.worker for one in self._busy.values())]:
            worker.kill()

    def _new(self) -> Worker[Task | None, Answer]:
        return Worker(self._work, self._context)

    def _give(self, worker: Worker[Task | None, Answer], task: Task | None) -> None:
        limit = math.inf if task is None else self._work.limits.seconds
        self._busy[worker.pipe] = _Running(worker, task, time.monotonic(), limit)
        worker.take(task)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._replace_dead()
            while self._idle and (task := self._insist(self._jobs.take)) is not None:
                self._give(self._idle.pop(), task)
            soonest = min((one.begun + one.limit for one in self._busy.values()), default=math.inf)
            ready = wait(
                [*self._busy, self._bell], None if math.isinf(soonest) else max(0.0, soonest - time.monotonic())
            )
            if self._bell in ready:
                os.read(self._bell, 4096)
            for pipe, one in list(self._busy.items()):
                if pipe in ready:
                    self._end(pipe, one.worker.result())
                elif one.begun + one.limit <= time.monotonic():
                    one.worker.kill()
                    self._end(pipe, Died(-9, one.limit))

    def _replace_dead(self) -> None:
        """Replace processes that died while they were idle, for example when another process used up the memory."""
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            worker.kill()
            self._replace()

    def _replace(self) -> None:
        self._metrics.count("cvqa_workers_lost_total")
        self._give(self._new(), None)  # it builds its model before it takes a job, whose time that is not

    def _end(self, pipe: Connection, answer: Answer | Died) -> None:
        one = self._busy.pop(pipe)
        if isinstance(answer, Died):
            if one.task is None:
                self._stopping.wait(_AGAIN)  # not to try in vain all the time
            self._replace()
            answer = Answer(fault=None if one.task is None else _died(one.task, answer))
        else:
            self._idle.append(one.worker)
        if one.task is None:
            return
        task, result, fault = one.task, answer.result, answer.fault
        if result is not None:
            self._insist(lambda: self._jobs.finish(task.id, result, answer.picture, answer.heat))
        else:
            self._insist(lambda: self._jobs.fail(task.id, str(fault)))
        self._metrics.ended("done" if result is not None else "failed", time.monotonic() - one.begun)
        if task.sent:
            with suppress(OSError):
                Path(task.source).unlink(missing_ok=True)

    def _insist(self, write: Callable[[], Any]) -> Any:
        """Return the result of `write`, tried again until the disk accepts it; None if the service stops first."""
        while not self._stopping.is_set():
            with suppress(sqlite3.Error):
                return write()
            log.warning("the jobs cannot be written; free space. It is tried again each second.")
            self._stopping.wait(_AGAIN)
        return None


def _died(task: Task, how: Died) -> str:
    name = printable(task.name)
    if how.limit is not None:
        return f"'{name}' was given up after {how.limit:g} s, which is all that a video gets here; cut it."
    return f"'{name}' ended the process that read it ({how}); copy or encode it again."
