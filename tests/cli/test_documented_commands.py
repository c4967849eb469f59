"""Every command line that the documentation shows fits the real signatures; nothing is run."""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docstring_parser
import pytest
import yaml

from cvqa_models.__main__ import COMMANDS, TRAINING, find_command, load_command
from cvqa_models.arguments import call
from cvqa_models.training import cli, resuming

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "checkpoints/README.md",
    # Tests in tests/docs run what the tutorials show.
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page.parent.name != "tutorials"),
]
FIT = "python train.py fit --config configs/model/flagship.yaml --config configs/data/mini.yaml"
COMMANDS_SHOWN = ("cvqa ", "python train.py ", "python benchmarks/")
# Options of `train.py` that a page names without the command around them.
OVERLAYS = ("--config ", "--model.", "--data.", "--trainer.")


def shown(text: str) -> Iterator[str]:
    """Yield the command lines of a page: of its code blocks, fenced or indented, and of its inline code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    blocks += ["\n".join(line[4:] for line in re.findall(r"^ {4}.*(?:\\\n.*)*$", text, re.M))]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if line.strip().startswith(COMMANDS_SHOWN):
            yield line.strip()
    for code in re.findall(r"`([^`\n]+)`", text):
        if code.startswith(COMMANDS_SHOWN):
            yield code
        elif code.startswith(OVERLAYS):
            yield f"{FIT} {code}"


def is_command(line: str) -> bool:
    return line.strip().startswith(COMMANDS_SHOWN)


def examples(name: str) -> list[str]:
    """Return the command lines at the end of a command's help."""
    shown_as = docstring_parser.parse(load_command(name).__doc__ or "", docstring_parser.DocstringStyle.GOOGLE).examples
    return [line for example in shown_as for line in (example.description or "").splitlines()]


CLUSTER = sorted((ROOT / "examples/cluster").iterdir())
LINES = sorted(
    {
        *((page.name, line.strip()) for page in CLUSTER for line in page.read_text().splitlines() if is_command(line)),
        *((page.name, line) for page in PAGES for line in shown(page.read_text(encoding="utf-8"))),
        *((f"{name} --help", line) for name in COMMANDS for line in examples(name)),
    }
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_in_an_example_of_the_command(name: str) -> None:
    lines = examples(name)
    assert lines
    assert all(f"{line} ".startswith(f"cvqa {name} ") for line in lines)


class Parsed(Exception):  # noqa: N818 - a signal, not an error
    """Raised in the place of the expensive part."""


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair[1].startswith("cvqa ")])
def test_a_shown_command_fits_its_signature(page: str, line: str) -> None:
    words = shlex.split(line.split(" > ")[0], comments=True)[1:]
    families = {name.split()[0] for name in COMMANDS}
    if (
        " ".join(words) in {*COMMANDS, *families, *TRAINING, "COMMAND", "fit|validate|test|predict"}
        or words[-1] == "--help"
    ):
        return  # the bare name in a sentence
    name, rest = find_command(words)
    function = load_command(name)

    @functools.wraps(function)
    def stand_in(*_: Any, **__: Any) -> None:
        raise Parsed

    with pytest.raises(Parsed):
        call(name, stand_in, rest)


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair[1].startswith("python train.py ")])
def test_a_shown_training_run_fits_the_signatures(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(line, comments=True)[2:]
    if words[0] == "fit|validate|test|predict":
        return

    def stop(_: object) -> None:
        raise Parsed

    tiny = yaml.safe_load((ROOT / "configs/tiny/flagship.yaml").read_text())["model"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(resuming, "read_checkpoint", lambda path: {})
    monkeypatch.setattr(resuming, "model_config", lambda checkpoint, path, trusted: tiny)
    monkeypatch.setattr(cli.TrainCli, "before_instantiate_classes", stop)
    with pytest.raises(Parsed):
        cli.run_cli(words)


def usage(script: Path) -> tuple[int, set[str]]:
    """Return how many arguments and which options a benchmark needs, by the usage line of its docstring."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    lines = [line.strip() for line in text.splitlines()]
    line = next(line for line in lines if line.startswith(f"python benchmarks/{script.name}"))
    return arguments(shlex.split(re.sub(r"\[.*?\]", "", re.split(r"\s{2,}", line)[0]))[2:])


def arguments(words: list[str]) -> tuple[int, set[str]]:
    """Return how many words stand alone, and the options, each with its value."""
    options = {word for word in words if word.startswith("--")}
    values = {index + 1 for index, word in enumerate(words) if word.startswith("--")}
    return sum(index not in values and word not in options for index, word in enumerate(words)), options


def check_benchmark(line: str) -> None:
    words = shlex.split(line, comments=True)
    script = ROOT / words[1]
    assert script.is_file()
    (needed, required), (given, options) = usage(script), arguments(words[2:])
    assert given >= needed
    assert options >= required
    assert all(f'"{option}"' in script.read_text(encoding="utf-8") for option in options)


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair[1].startswith("python benchmarks/")])
def test_a_shown_benchmark_is_there_and_gets_what_it_needs(page: str, line: str) -> None:
    check_benchmark(line)


@pytest.mark.parametrize(
    "line", ["mmf_table.py", "evaluate_table.py", "build_encodes.py --workers 2", "gone.py", "train_head.py --profil"]
)
def test_a_benchmark_shown_wrongly_would_be_seen(line: str) -> None:
    with pytest.raises(AssertionError):
        check_benchmark(f"python benchmarks/{line}")


@pytest.mark.parametrize("words", [["mmf_table.py", "gone.csv"], ["evaluate_table.py"]])
def test_a_benchmark_without_its_table_says_so_in_one_line(words: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "benchmarks" / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == f"Give CVQAD's table: python benchmarks/{words[0]} data/cvqad/Metric_scores_example.csv\n"


def test_the_pages_show_commands_at_all() -> None:
    assert len(LINES) > 20


def test_a_misspelt_option_would_be_seen() -> None:
    with pytest.raises(ValueError, match=r"--wrokers 2; `cvqa check --help` lists the options"):
        call("check", load_command("check"), ["folder", "--wrokers", "2"])


def test_cluster_scripts_are_whole() -> None:
    """Every script runs one of our commands, and is what its program reads."""
    for page in CLUSTER:
        text = page.read_text()
        assert sum(map(is_command, text.splitlines())) == 1
        if page.suffix == ".sh":
            subprocess.run(["bash", "-n", str(page)], check=True)
            assert all(
                re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in text.splitlines() if "SBATCH" in line
            )
        else:
            job = yaml.safe_load(text)
            container = job["spec"]["template"]["spec"]["containers"][0]
            assert (job["kind"], job["spec"]["completionMode"]) == ("Job", "Indexed")
            assert f"--shard $PART/{job['spec']['completions']} " in container["args"][0]
            subprocess.run(["sh", "-n", "-c", container["args"][0]], check=True)
