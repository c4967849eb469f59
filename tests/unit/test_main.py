"""The command table: names, words to arguments, and mistakes in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from cvqa_models import __main__, ending
from cvqa_models.__main__ import COMMANDS, find_command, load_command
from cvqa_models.arguments import call
from cvqa_models.training import cli


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_documented(name: str) -> None:
    assert load_command(name).__doc__


def test_a_family_of_commands_has_names_of_two_words() -> None:
    assert find_command(["build", "mini", "--root", "x"]) == ("build mini", ["--root", "x"])
    assert find_command(["check", "a"]) == ("check", ["a"])
    with pytest.raises(ValueError, match="`cvqa build` needs one of: mini, levels, select"):
        find_command(["build"])
    with pytest.raises(ValueError, match="There is no command `scoer`; expected one of average, build, "):
        find_command(["scoer"])


def test_words_become_arguments() -> None:
    def command(
        paths: list[Path], /, *, depth: int = 1, fast: bool = False, names: list[str] | None = None, out_dir: str = ""
    ) -> tuple[object, ...]:
        """Do nothing."""
        return paths, depth, fast, names, out_dir

    def on_by_default(*, high_is_good: bool = True) -> bool:
        """Do nothing."""
        return high_is_good

    def with_a_list(*, seeds: list[int] = [0, 1, 2]) -> list[int]:  # noqa: B006 - read only
        """Do nothing."""
        return seeds

    assert call("x", with_a_list, []) == [0, 1, 2]
    assert call("x", with_a_list, ["--seeds", "7", "8"]) == [7, 8]
    assert call("x", on_by_default, []) is True
    assert call("x", on_by_default, ["--high-is-good", "false"]) is False
    assert call("x", command, ["a", "b"]) == ([Path("a"), Path("b")], 1, False, None, "")
    words = ["a", "--depth", "3", "--fast", "--names", "n", "--names", "m", "--out-dir=p-q"]
    assert call("x", command, words) == ([Path("a")], 3, True, ["n", "m"], "p-q")
    words = ["a", "--depth", "3", "--fast", "--names", "n", "m", "--out-dir=p-q"]
    assert call("x", command, words) == ([Path("a")], 3, True, ["n", "m"], "p-q")


def test_help_shows_each_argument_once_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    def command(
        paths: list[Path], /, *, out: Path, depth: int = 0, kind: Literal["a", "b"] = "a", lower: bool = True
    ) -> None:
        """Do nothing, 100 % of the time.

        Nothing at all.

        Args:
            paths: Files.
            out: File to write,
                whole.
            depth: How deep.
            kind: Which kind.
            lower: Whether lower.

        Examples:
            cvqa x a b --out c
        """

    with pytest.raises(SystemExit):
        call("x", command, ["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        "Do nothing, 100 % of the time. Nothing at all. positional arguments: paths Files.",
        "--out OUT File to write, whole. (required)",
        "--depth DEPTH How deep. (default: 0)",
        "--kind {a,b} Which kind. (default: a)",
        "--lower {true,false} Whether lower. (default: true)",
    ):
        assert said.count(text) == 1, said
    assert said.endswith("examples: cvqa x a b --out c")
    assert "Args" not in said


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cvqa_models", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_names_of_files_are_taken_as_they_are() -> None:
    def command(paths: list[Path], /, *, out: Path | None = None) -> tuple[object, ...]:
        """Do nothing."""
        return paths, out

    odd = ["clip:12.mp4", "null", "1e5", "[a].mp4", "{b}: c.mp4", "true", "@x", "~", "a*.mp4", "a=b--c.mp4"]
    assert call("x", command, odd) == ([Path(name) for name in odd], None)
    dashed = ["-clip.mp4", "--my-clip.mp4", "--", "--out"]
    assert call("x", command, ["--out=-o.csv", "--", *dashed]) == ([Path(name) for name in dashed], Path("-o.csv"))
    with pytest.raises(ValueError, match=r"a name that begins with a dash is written \./-clip\.mp4"):
        call("x", command, ["-clip.mp4"])


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, atexit; sys.argv = ['cvqa']; atexit.register(lambda: print('torch' in sys.modules)); "
        "from cvqa_models.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(name in done.stdout for name in COMMANDS)


def test_a_mistake_is_one_sentence_and_exit_code_2() -> None:
    done = run("scoer")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "Traceback" not in done.stderr


def test_training_under_this_name_ends_its_ranks_with_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(ending, "leave_with_starter", done.append)
    monkeypatch.setattr(cli, "run_cli", done.append)
    assert __main__._run(["fit", "--run", "x"]) == 0
    assert done == ["cvqa", ["fit", "--run", "x"]]


def test_a_command_reads_arguments_calls_one_function_and_prints() -> None:
    """A module that is longer holds what a program would want, too; it belongs into a room of the package."""
    modules = Path(__main__.__file__).parent.joinpath("commands").glob("*.py")
    assert [path.name for path in modules if len(path.read_text().splitlines()) > 120] == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--most-lines", "abc"], "`--most-lines` is 'abc'; expected a whole number"),
        (["--most-lines", "7.5"], "`--most-lines` is '7.5'; expected a whole number"),
        (["--limit", "x"], "`--limit` is 'x'; expected a number"),
        (["--ends", "0", "b"], "`--ends` is 'b'; expected a number"),
        (["--per", "hour"], "`--per` is 'hour'; expected one of frame, second"),
        (["--by", "hand"], "`--by` is 'hand'; expected one of eye, ear"),
        (["--scaled", "maybe"], "`--scaled` is 'maybe'; expected true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_in_plain_words(words: list[str], told: str) -> None:
    def command(
        *,
        most_lines: int | None = None,
        limit: float = 1.0,
        ends: list[float] | None = None,
        per: Literal["frame", "second"] | None = None,
        by: Literal["eye", "ear"] = "eye",
        scaled: bool = True,
    ) -> None:
        """Do nothing."""

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        call("x", command, words)
    assert str(caught.value) == f"{told}; `cvqa x --help` lists the options."
