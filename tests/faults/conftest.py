"""Counts of tries and survivals, printed at the end of `make test-faults`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

TRIES = int(os.environ.get("CVQA_FAULTS", "100"))
_lines: list[str] = []


@pytest.fixture
def count() -> Callable[[str, int, int], None]:
    """Note how many tries of a fault were survived; fewer than all fail the test."""

    def note(fault: str, tries: int, survived: int) -> None:
        _lines.append(f"{fault}: {survived} of {tries} survived")
        assert survived == tries, _lines[-1]

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _lines:
        terminalreporter.write_line(line)
