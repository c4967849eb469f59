"""The table that a run of the parity tests ends with."""

from __future__ import annotations

import pytest

from tests.parity.summary import deviation_table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how far from the recorded numbers each test came at most, beside what it allows."""
    lines = deviation_table()
    if lines:
        terminalreporter.section("network and test, largest deviation, tolerance")
        terminalreporter.write("\n".join(lines) + "\n")
