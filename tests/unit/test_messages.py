"""One sentence out of what parsers and the system say, and text from files as a terminal shows it: as it is."""

from __future__ import annotations

import errno
import logging

import pytest
from rich.table import Table

from cvqa_models import messages
from cvqa_models.messages import PlainLog, console, follow, innermost, printable, say, sentence
from cvqa_models.training import cli

NESTED = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'QualityModule'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'models.MultiBranch':
        Parser key "branches":
          Problem with given class_path 'branches.SlowFast':
            Option 'pathwya' is not accepted
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {'class_path': 'models.MultiBranch'}"""


def test_the_innermost_reason_keeps_the_class_that_it_concerns() -> None:
    assert innermost(NESTED) == "class_path 'branches.SlowFast': Option 'pathwya' is not accepted"
    assert innermost("unrecognized arguments: --x") == "unrecognized arguments: --x"
    assert innermost("Parser key \"a\":\n  Expected a <class 'int'>") == "Parser key `a`: Expected a <class 'int'>"


def test_what_the_system_says_of_a_file_names_the_file_and_the_remedy() -> None:
    said = sentence(OSError(errno.ENOSPC, "No space left on device", "runs/x.csv"))
    assert said.startswith("'runs/x.csv' cannot be read or written (No space left on device); free space")
    assert sentence(OSError(errno.ENOSPC, "No space left on device")).startswith("a file cannot be")


def test_a_long_message_becomes_one_line() -> None:
    assert sentence(ValueError("one\n  two")) == "one two"


WORKER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "reader.py", line 1, in probe
    raise InvalidDataError("x")
av.error.InvalidDataError: Invalid data: 'a.mp4'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "dataset.py", line 2, in _decode
    raise ValueError(text)
ValueError: 'a.mp4' is broken; expected a video: copy it again.
"""


def test_what_a_loader_worker_says_is_its_own_mistake_alone() -> None:
    assert sentence(ValueError(WORKER)) == "'a.mp4' is broken; expected a video: copy it again."


KILLED = "DataLoader worker (pid 71) is killed by signal: Killed. It is possible that memory ran out.\nPlease try"


@pytest.mark.parametrize(
    "text",
    ["DataLoader timed out after 300.0 seconds", "DataLoader worker (pid(s) 71) exited unexpectedly", KILLED],
)
def test_a_lost_loader_worker_names_the_option(text: str) -> None:
    said = sentence(RuntimeError(text))
    assert said.startswith(text.partition(". ")[0])
    assert "`data.timeout`" in said
    assert "\n" not in said


def test_other_runtime_errors_are_no_mistake_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(cli, "run_cli", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.main()


def test_a_loader_that_timed_out_ends_train_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("DataLoader timed out after 300.0 seconds")

    monkeypatch.setattr(cli, "run_cli", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert "300.0 seconds: a process" in capsys.readouterr().err


def test_a_terminal_only_shows_what_it_is_told() -> None:
    assert printable("été [red] $x$ \\") == "été [red] $x$ \\"
    assert printable("a\x1b[2J\x9b\u202eb\u2028\udce9\t") == r"a\x1b[2J\x9b\u202eb\u2028\udce9\t"
    assert sentence(ValueError("'a\x1b]0;x\x07' is\nbroken")) == r"'a\x1b]0;x\x07' is broken"


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


def test_long_work_says_a_line_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 20))  # a call of the clock takes 20 s, and a step two calls
    monkeypatch.setattr(messages.time, "monotonic", lambda: next(clock))
    assert list(follow("abcd", "counting")) == list("abcd")
    said = capsys.readouterr()
    lines = [line.rpartition(", ")[0] for line in said.err.splitlines()]
    assert lines == ["counting: 1 of 4", "counting: 2 of 4", "counting: 3 of 4", "counting: 4 of 4"]
    assert said.err.splitlines()[-1].endswith("about 0 min left")
    monkeypatch.setattr(messages.time, "monotonic", lambda: 0.0)
    assert list(follow(iter("abcd"), "counting", 4)) == list("abcd")
    assert list(follow("abcd", "counting", shown=False)) == list("abcd")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(follow("abcd", "[red]counting")) == list("abcd")
    said = capsys.readouterr()
    assert "[red]counting" in said.err
    assert "4/4" in said.err
    assert said.out == ""
