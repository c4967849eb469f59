"""Every command line that the documentation shows fits the real signatures; nothing is run."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cvqa_models import cli
from cvqa_models.__main__ import COMMANDS, call, find_command, load_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "checkpoints/README.md", *sorted(ROOT.glob("docs/*.md"))]
FIT = "python train.py fit --config configs/model/flagship.yaml --config configs/data/mini.yaml"
# Options of `train.py` that a page names without the command around them.
OVERLAYS = ("--config ", "--model.", "--data.", "--trainer.")


def shown(text: str) -> Iterator[str]:
    """Yield the command lines of a page: of its code blocks, fenced or indented, and of its inline code."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    blocks += ["\n".join(line[4:] for line in re.findall(r"^ {4}.*(?:\\\n.*)*$", text, re.M))]
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if line.strip().startswith(("cvqa ", "python train.py ")):
            yield line.strip()
    for code in re.findall(r"`([^`\n]+)`", text):
        if code.startswith(("cvqa ", "python train.py ")):
            yield code
        elif code.startswith(OVERLAYS):
            yield f"{FIT} {code}"


LINES = sorted({(page.name, line) for page in PAGES for line in shown(page.read_text(encoding="utf-8"))})


class Parsed(Exception):  # noqa: N818 - a signal, not an error
    """Raised in the place of the expensive part."""


@pytest.mark.parametrize(("page", "line"), [pair for pair in LINES if pair[1].startswith("cvqa ")])
def test_a_shown_command_fits_its_signature(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if " ".join(words) in {*COMMANDS, "COMMAND"} or words[-1] == "--help":
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
    monkeypatch.setattr(cli, "read_checkpoint", lambda path: {})
    monkeypatch.setattr(cli, "model_config", lambda checkpoint: tiny)
    monkeypatch.setattr(cli.TrainCLI, "before_instantiate_classes", stop)
    with pytest.raises(Parsed):
        cli.run_cli(words)


def test_the_pages_show_commands_at_all() -> None:
    assert len(LINES) > 20


def test_a_misspelt_option_would_be_seen() -> None:
    with pytest.raises(ValueError, match=r"--wrokers 2; `cvqa check --help` lists the options"):
        call("check", load_command("check"), ["folder", "--wrokers", "2"])
