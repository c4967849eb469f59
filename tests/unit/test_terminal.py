"""A terminal shows text from files as it is: rich's markup and emoji codes, and control characters, do nothing."""

from __future__ import annotations

import logging

import pytest
from rich.table import Table

from cvqa_models.terminal import PlainLog, console, say

HOSTILE = "[red]x[/] [/nonsense] :car: a:100:b [link=file:///x]y \\"


def test_a_line_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say("to stderr", stderr=True)
    say("a\x1b[31mb\x1b]0;title\x07\r\u202e")
    captured = capsys.readouterr()
    assert captured.out == f"{HOSTILE}\na\\x1b[31mb\\x1b]0;title\\x07\\r\\u202e\n"
    assert captured.err == "to stderr\n"


def test_cells_and_titles_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title=f"title {HOSTILE}", width=200)
    table.add_column(f"header {HOSTILE}")
    table.add_row(HOSTILE)
    console(width=200).print(table)
    assert capsys.readouterr().out.count(HOSTILE) == 3


def test_a_log_line_is_shown_as_it_is() -> None:
    record = logging.LogRecord("n", logging.INFO, "f", 1, "'%s' is\nlost", ("a\x1b[2Jb",), None)
    assert PlainLog("%(message)s").format(record) == "'a\\x1b[2Jb' is\nlost"
