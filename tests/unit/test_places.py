"""What is passed on names files without the folders of this machine, and what comes finds them by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models.places import located, named, portable, reaches_out

OUTSIDE = ["/etc/x", "~/x", "~nobody/x", "../x", "a/../../x", r"C:\x", r"\\host\share\x", "http://x/y/x", "s3:/x/y/x"]


@pytest.mark.parametrize("value", OUTSIDE)
def test_a_name_that_leaves_its_folder_loses_it(value: str) -> None:
    assert reaches_out(value)
    for change in (portable, named):
        name = change({"a": [{"weights": value}]})["a"][0]["weights"]
        assert name == "x"


@pytest.mark.parametrize("value", ["swin.pth", "sub/swin.pth", "timm/resnet50.a1_in1k", "a..b", "What of it? ..."])
def test_a_name_of_a_file_is_kept(value: str) -> None:
    assert not reaches_out(value)
    for change in (portable, named):
        assert change({"weights": (value,), "n": 1}) == {"weights": (value,), "n": 1}


def test_files_are_named_relative_to_what_holds_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("runs/first/w.pth", "work/data/t.csv", "else/v.pth", "else/prompt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "work")
    arguments = {
        "weights": str(tmp_path / "runs/first/w.pth"),
        "other": {"path": str(tmp_path / "work/data/t.csv"), "base": "../else/v.pth"},
        "words": [str(tmp_path / "else/prompt"), "/look at this"],
    }
    expected = {
        "weights": "first/w.pth",
        "other": {"path": "data/t.csv", "base": "v.pth"},
        "words": ["prompt", "/look at this"],
    }
    assert portable(arguments, tmp_path / "runs/second") == expected
    assert portable(arguments)["weights"] == "w.pth"
    for checkpoint in ("runs/second/checkpoints/last.ckpt", "runs/second/hpc_ckpt_1.ckpt"):
        found = located(expected, tmp_path / checkpoint)
        assert found["weights"] == str(tmp_path / "runs/first/w.pth")
        assert found["other"] == expected["other"]  # one is here, the other nowhere near
    assert located(expected, tmp_path / "elsewhere/x/last.ckpt") == expected


def test_a_prompt_is_no_file(tmp_path: Path) -> None:
    text = {"prompt": "/what of ../it"}
    assert named(text) == portable(text) == located(text, tmp_path / "x.ckpt") == text
