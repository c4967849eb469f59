"""Run a function over many items in separate processes; if a process dies, only its own item is lost."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """The process that worked on an item ended without a result.

    Attributes:
        exit_code: Its exit code; the negative number of the signal that killed it, if one did.
        limit: Seconds after which this program killed it; None if it did not.
    """

    exit_code: int
    limit: float | None = None

    def __str__(self) -> str:
        """Return how it ended, in words."""
        if self.limit is not None:
            return f"more than {self.limit:g} s"
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        number = signal.Signals(-self.exit_code)
        return f"{number.name}, as when memory runs out" if number == signal.SIGKILL else number.name


def run_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    limit: float = math.inf,
    imported: Sequence[str] = (),
) -> Iterator[tuple[int, Result | Died]]:
    """Yield (position of the item, what `function` returned) in the order in which items are done.

    A pool of the standard library drops all items when one of its processes is killed, and does not say which item was
    the cause.

    Args:
        function: Function of a module, which a new process can import.
        items: Its arguments, one per call.
        workers: Number of processes at a time.
        limit: Seconds for one item, after which its process is killed.
        imported: Modules that are imported once, in a process of which all others are copies.
    """
    context = process_context(imported)
    waiting = deque(range(len(items)))
    idle: list[Worker[Item, Result]] = []
    busy: dict[Connection, tuple[Worker[Item, Result], int, float]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else Worker(function, context)
                busy[worker.pipe] = worker, waiting.popleft(), time.monotonic() + limit
                worker.take(items[busy[worker.pipe][1]])
            soonest = min(end for _, _, end in busy.values())
            ready = wait(list(busy), None if math.isinf(soonest) else max(0.0, soonest - time.monotonic()))
            late = [pipe for pipe, (_, _, end) in busy.items() if end <= time.monotonic() and pipe not in ready]
            for pipe in [*ready, *late]:
                worker, position, _ = busy.pop(pipe)  # type: ignore[call-overload]
                result: Result | Died
                if pipe in ready:
                    result = worker.result()
                else:
                    worker.kill()
                    result = Died(-signal.SIGKILL, limit)
                if not isinstance(result, Died):
                    idle.append(worker)
                yield position, result
    finally:
        for worker in [*idle, *(worker for worker, _, _ in busy.values())]:
            worker.kill()


def process_context(imported: Sequence[str]) -> BaseContext:
    """Return how processes start: as copies of one that has imported the modules, or empty if there are none."""
    context = multiprocessing.get_context("forkserver" if imported else "spawn")
    if imported:
        context.set_forkserver_preload(list(imported))
    return context


class Worker(Generic[Item, Result]):
    """A process that calls one function on items, one at a time.

    Args:
        function: Function of a module, or an object that can be pickled.
        context: How the process starts.

    Attributes:
        pipe: Connection that can be read when there is a result, or when the process has ended.
    """

    def __init__(self, function: Callable[[Item], Result], context: BaseContext) -> None:
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(function, theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def take(self, item: Item) -> None:
        """Begin with an item."""
        with suppress(OSError):  # it died while it was idle; `result` will notice
            self.pipe.send(item)

    def result(self) -> Result | Died:
        """Return the result of the item, or how the process died."""
        try:
            result: Result = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return Died(self._process.exitcode or 0)
        return result

    @property
    def alive(self) -> bool:
        """Return whether the process is running."""
        alive: bool = self._process.is_alive()
        return alive

    def kill(self) -> None:
        """Kill the process, even if it is busy."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


def _serve(function: Callable[[Item], Result], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):  # the parent process is gone, or has no more items
            return
        result = function(item)  # an error ends this process, so there is no result then
        with suppress(OSError):
            pipe.send(result)
