"""`cvqa demo`: what it refuses before it builds anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.commands import demo as module


def test_the_demo_runs_in_a_clone_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIGS", tmp_path / "configs")
    with pytest.raises(FileNotFoundError, match="`cvqa demo` runs in a clone of the project"):
        module.demo(tmp_path / "run", data=tmp_path / "data")
    assert not list(tmp_path.iterdir())
