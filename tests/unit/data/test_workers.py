"""Processes that die cost their own item alone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from cvqa_models.data.workers import Died, run_each


def square(number: int) -> int:
    """Return the square, but die of what a negative number says."""
    if number < 0:
        os.kill(os.getpid(), -number)
    if number == 7:
        os._exit(7)
    return number * number


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_but_the_deadly_ones_has_its_result(workers: int) -> None:
    items = [1, -signal.SIGKILL, 2, 3, 7, -signal.SIGSEGV, 4]
    results = dict(run_each(square, items, workers))
    assert results == {0: 1, 1: Died(-signal.SIGKILL), 2: 4, 3: 9, 4: Died(7), 5: Died(-signal.SIGSEGV), 6: 16}
    assert [str(results[position]) for position in (1, 4, 5)] == [
        "SIGKILL, as when memory runs out",
        "exit code 7",
        "SIGSEGV",
    ]


def refused(number: int) -> int:
    """Raise what a system would."""
    raise OSError(f"no {number}")


def test_an_error_of_the_system_inside_the_function_is_no_clean_end() -> None:
    assert list(run_each(refused, [1], 1)) == [(0, Died(1))]


def waiting(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


# As bulk work has it; a name only, for a process that imports this module is to be a light one.
HEAVY = ("cvqa_models.inference.load", "cvqa_models.inference.bulk")


@pytest.mark.parametrize("imported", [(), HEAVY])
def test_an_item_that_takes_too_long_costs_itself_alone(imported: tuple[str, ...]) -> None:
    list(run_each(waiting, [0], 1, imported=imported))  # so that the limit is not that of an import
    results = dict(run_each(waiting, [0, 600, 0.01], 2, 20, imported))
    assert results == {0: 0, 1: Died(-signal.SIGKILL, 20), 2: 0.01}
    assert str(results[1]) == "more than 20 s"


def process_number(_: int) -> int:
    return os.getpid()


def test_processes_end_with_a_loop_that_is_left() -> None:
    for _, pid in run_each(process_number, [0, 1], 1):
        assert isinstance(pid, int)
        break
    assert not Path(f"/proc/{pid}").exists()
