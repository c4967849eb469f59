"""Help is shown, and a missing file is found, before anything slow is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cvqa_models.__main__ import COMMANDS, load_command
from cvqa_models.arguments import call

CONFIG = ["--config", "gone.yaml"]
TABLE = "There is no table 'gone.csv'; check the path."
CHECKPOINT = "There is no checkpoint 'gone.ckpt'; check the path."
FOLDER = "There is no folder 'gone'; check the path."
NO_CONFIG = "There is no configuration 'gone.yaml'; "
# Command -> words that name what is not there, and how the sentence begins; None where none must be there.
MISSING: dict[str, tuple[list[str], str] | None] = {
    "config": (["gone.yaml"], NO_CONFIG),
    "demo": None,
    "build mini": (["--root", "new", "--references", "gone"], FOLDER),
    "build levels": (["--root", "new", "--photographs", "gone"], FOLDER),
    "build select": (["--videos", "gone", "--clusters", "2", "--out", "o.csv"], FOLDER),
    "build encode": (["--references", "gone", "--ladder", "l.yaml", "--root", "new"], "There is no folder or table"),
    "build proxies": (["--manifest", "gone.csv", "--out", "o.csv"], TABLE),
    "votes questions": (["--videos", "gone.csv", "--out", "o.csv"], TABLE),
    "votes simulate": (["--videos", "gone.csv", "--truth", "t.csv", "--out", "o.csv"], TABLE),
    "votes screen": (["--votes", "gone.csv", "--out", "o.csv"], TABLE),
    "votes scores": (["--votes", "gone.csv", "--out", "o.csv"], TABLE),
    "import": (["csv", "gone.csv", "--out", "o.csv"], "There is no label file 'gone.csv'; check the path."),
    "check": (["gone"], "There is no video, folder or table 'gone'; check the path."),
    "extract": (CONFIG, NO_CONFIG),
    "pack": (["gone"], "There is no store 'gone'; check the path."),
    "fit-mmf": (CONFIG, NO_CONFIG),
    "score": (["gone.mp4"], "There is no video 'gone.mp4'; check the path."),
    "crossval": (CONFIG, NO_CONFIG),
    "sweep": ([*CONFIG, "--out", "o"], NO_CONFIG),
    "export": (["gone.ckpt", "--out", "o.safetensors"], CHECKPOINT),
    "average": (["gone.ckpt", "b.ckpt", "--out", "o.ckpt"], CHECKPOINT),
    "calibrate": (
        ["gone.ckpt", "--predictions", "p.csv", "--scores", "s.csv", "--scale", "1", "5", "--out", "o.ckpt"],
        "There is no file 'gone.ckpt'; check the path.",
    ),
    "push": (["gone.ckpt", "me/model"], CHECKPOINT),
    "evaluate": (["--scores", "gone.csv"], TABLE),
    "compare": (["gone", "--anchor", "x264"], "There is no table or folder 'gone'; give a manifest or a folder"),
    "leaderboard": (["--scores", "gone.csv", "--table", "t.csv"], "There is no file 'gone.csv'; check the path."),
    "merge": None,  # its parts lie beside the file
    "submit": (["gone.csv", "--out", "o.csv"], TABLE),
    "report": (["--run", "run", "--scores", "gone.csv"], TABLE),
    "fetch": (CONFIG, NO_CONFIG),
    "serve": (["--root", "gone"], FOLDER),
    "systems": None,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    missing = MISSING[name]
    if missing is not None:
        with pytest.raises(FileNotFoundError) as said:
            call(name, load_command(name), missing[0])
        assert str(said.value).startswith(missing[1])
    assert not list(tmp_path.iterdir())


def test_neither_help_nor_a_missing_file_imports_what_is_slow(tmp_path: Path) -> None:
    script = f"""
import contextlib, io, sys
from cvqa_models.arguments import call
from cvqa_models.__main__ import COMMANDS, load_command
for name, words in {[(name, missing and missing[0]) for name, missing in MISSING.items()]!r}:
    command = load_command(name)
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        call(name, command, ["--help"])
    with contextlib.suppress(FileNotFoundError):
        if words is not None:
            call(name, command, words)
    slow = {{"torch", "numpy", "pandas", "scipy", "matplotlib", "av", "sklearn"}} & set(sys.modules)
    assert not slow, (name, slow)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stage", ["fit", "predict"])
def test_training_finds_a_missing_configuration_before_it_imports_what_is_slow(stage: str, tmp_path: Path) -> None:
    script = f"""
import sys
from cvqa_models.__main__ import _run
try:
    _run([{stage!r}, "--config", "tiny/vsfa", "gone.yaml"])
except FileNotFoundError as error:
    print(error, sorted({{"torch", "numpy", "pytorch_lightning"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("There is no configuration 'gone.yaml'; ")
    assert done.stdout.rstrip().endswith("[]")
