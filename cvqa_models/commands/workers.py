"""Run a function over many items in processes of their own, where a process that dies costs only its own item."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """The process that worked on an item ended without a result.

    Attributes:
        exit_code: Its exit code; the negative number of the signal that killed it, if one did.
    """

    exit_code: int

    def __str__(self) -> str:
        """Return how it ended, in words."""
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        number = signal.Signals(-self.exit_code)
        return f"{number.name}, as when memory runs out" if number == signal.SIGKILL else number.name


def run_each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[int, Result | Died]]:
    """Yield (position of the item, what `function` returned) in the order in which items are done.

    A pool of the standard library gives up all items when one of its processes is killed, and does not say which item
    did it.

    Args:
        function: Function of a module, which a new process can import.
        items: What it is called with, one at a time.
        workers: Processes at a time.
    """
    waiting = deque(range(len(items)))
    idle: list[_Worker[Item, Result]] = []
    busy: dict[Connection, tuple[_Worker[Item, Result], int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(function)
                busy[worker.pipe] = worker, waiting.popleft()
                worker.take(items[busy[worker.pipe][1]])
            for pipe in wait(list(busy)):
                worker, position = busy.pop(pipe)  # type: ignore[call-overload]
                result = worker.result()
                if not isinstance(result, Died):
                    idle.append(worker)
                yield position, result
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.kill()


class _Worker(Generic[Item, Result]):
    def __init__(self, function: Callable[[Item], Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def take(self, item: Item) -> None:
        """Begin with an item."""
        with suppress(OSError):  # it died while it was idle, which `result` finds out
            self.pipe.send(item)

    def result(self) -> Result | Died:
        """Return what came of the item."""
        try:
            result: Result = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return Died(self._process.exitcode or 0)
        return result

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


def _serve(function: Callable[[Item], Result], pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):  # the first process is gone or has no more
            return
        result = function(item)  # what it raises ends this process, so that it is no result
        with suppress(OSError):
            pipe.send(result)
