"""The Dockerfile, read as a builder reads it: every path, command, option and address that it names is there."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import tomllib

from cvqa_models.arguments import parser_of
from cvqa_models.commands.serve import serve

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "USER", "VOLUME", "EXPOSE", "ENV", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
OF_THE_BASE = {"apt-get", "rm", "useradd", "mkdir", "chown", "python3"}  # Debian's own; python3 is installed first


def instructions(text: str) -> list[tuple[str, str]]:
    """Return name and words of each instruction, without comments, with continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\s*\\\n\s*", " ", lines)
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


STEPS = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMMANDS = [command for name, words in STEPS if name == "RUN" for command in words.split(" && ")]


def only(name: str) -> str:
    """Return the words of the instruction of a name, which stands once."""
    (words,) = [words for step, words in STEPS if step == name]
    return words


def copied() -> dict[str, str]:
    """Return source -> target of what is copied, as paths below the folder of the build."""
    found = {}
    for name, words in STEPS:
        if name == "COPY":
            *sources, target = words.split()
            for source in sources:
                several = target.endswith("/")
                found[source] = str(Path(target) / Path(source).name) if several else target
    return found


def test_instructions_are_known_and_in_order() -> None:
    names = [name for name, _ in STEPS]
    assert set(names) <= KNOWN
    assert names[:2] == ["ARG", "FROM"]
    assert only("FROM") == "${BASE}"
    given = {words.partition("=")[0] for name, words in STEPS if name == "ARG"}
    used = set(re.findall(r"\$\{(\w+)\}", "\n".join(words for _, words in STEPS)))
    assert used == given


def test_what_is_copied_is_there_and_not_ignored() -> None:
    rules = (ROOT / ".dockerignore").read_text().split()
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for source in copied():
        assert (ROOT / source).exists(), source
        ignored = False
        for rule in rules:  # the last one that fits counts
            if fnmatch.fnmatch(source.split("/")[0], rule.removeprefix("!")):
                ignored = not rule.startswith("!")
        assert not ignored, source
        if tracked:
            assert any(name == source or name.startswith(f"{source}/") for name in tracked), f"{source} is not kept"


def test_what_the_wheel_is_made_of_is_copied() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    target = wheel["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {*target["packages"], *target["force-include"], wheel["project"]["readme"], "constraints.txt"}
    assert wanted <= copied().keys()


def test_every_command_is_one_of_the_base_or_made_before() -> None:
    made = {"/opt/cvqa/bin/python": "python3 -m venv /opt/cvqa", "/opt/cvqa/bin/uv": "pip install --no-cache-dir uv"}
    for place, command in enumerate(COMMANDS):
        program = shlex.split(command)[0]
        earlier = " && ".join(COMMANDS[:place])
        assert program in OF_THE_BASE or made[program] in earlier, command
    (install,) = [command for command in COMMANDS if "uv pip install" in command]
    words = shlex.split(install)
    assert words[words.index("--constraint") + 1] in copied()
    extra = re.fullmatch(r"\.\[(\w+)\]", words[-1])
    assert extra
    assert extra[1] in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_installer_takes_these_options() -> None:
    (install,) = [command for command in COMMANDS if "uv pip install" in command]
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if program is None:
        pytest.skip("needs uv")
    known = subprocess.run([program, "pip", "install", "--help"], capture_output=True, text=True, check=True).stdout
    options = [word for word in shlex.split(install) if word.startswith("--")]
    assert options
    assert all(option in known for option in options)


def test_what_is_started_is_the_command_with_options_that_it_has() -> None:
    assert json.loads(only("ENTRYPOINT")) == ["cvqa"]
    name, *words = json.loads(only("CMD"))
    assert name == "serve"
    given = parser_of("serve", serve).parse_args(words)
    assert str(given.port) == only("EXPOSE")
    assert str(given.state) == only("VOLUME")
    assert given.host == "0.0.0.0"  # of the container, whose port is published or not
    assert only("USER") != "root"
    assert f"chown {only('USER')} {only('VOLUME')}" in COMMANDS[-1]


def test_the_check_of_health_asks_an_address_that_there_is() -> None:
    _, _, words = only("HEALTHCHECK").partition("CMD ")
    program, option, code = json.loads(words)
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"http://127.0.0.1:{only('EXPOSE')}/health" in code
    assert '"/health"' in (ROOT / "cvqa_models/serve/app.py").read_text()
    assert "PATH=/opt/cvqa/bin:$PATH" in only("ENV")


@pytest.mark.slow  # it makes an environment and builds a wheel
def test_the_steps_of_the_build_make_an_environment_that_has_the_command(tmp_path: Path) -> None:
    source, place = tmp_path / "src", tmp_path / "opt"
    for path, target in copied().items():
        (source / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, source / target)
    for command in COMMANDS:
        if shlex.split(command)[0] in ("apt-get", "useradd", "mkdir", "chown", "rm"):
            continue  # of the system, not of this folder
        own = command.replace("/opt/cvqa", str(place)).replace("--torch-backend ${TORCH}", "--no-deps")
        subprocess.run(["bash", "-ec", own.replace("python3", sys.executable, 1)], cwd=source, check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # instead of 1 GB
    shown = subprocess.run(
        [place / "bin/cvqa", "serve", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "usage: cvqa serve" in shown.stdout
    assert {path.name for path in (site / "cvqa_models/serve").glob("*.html")} == {"score_page.html", "vote_page.html"}
    assert (site / "cvqa_models/checkpoints/compression_level.safetensors").is_file()
