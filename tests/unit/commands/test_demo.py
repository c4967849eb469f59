"""`cvqa demo`: what it refuses before it builds anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cvqa_models.commands import demo as module

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_demo_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_mini", lambda folder: pytest.fail("it builds first"))
    (tmp_path / "run" / "logs").mkdir(parents=True)  # of a finished demo, or of one that was stopped while training
    with pytest.raises(
        ValueError, match=r"run' already holds a run; remove it, or .*`cvqa demo --run OTHER`, or `make"
    ):
        module.demo(tmp_path / "run", data=tmp_path / "data")


def test_make_hands_the_folder_to_the_demo() -> None:
    words = ["make", "--dry-run", "--assume-old=setup", "demo", "RUN=other"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "cvqa demo --run other" in shown
