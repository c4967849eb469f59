"""All weights of a configuration in one go; what cannot be had is named, and costs nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cvqa_models.arguments import call
from cvqa_models.commands import fetch as command
from cvqa_models.inference.fetch import fetch_weights
from cvqa_models.published import PUBLISHED, Published
from cvqa_models.weights import files

SYSTEM = """
model:
  class_path: cvqa_models.models.multibranch.MultiBranch
  init_args:
    branches:
      one:
        class_path: cvqa_models.branches.timm.Timm
        init_args: {name: resnet18, weights: WEIGHTS, frozen: true}
      two:
        class_path: cvqa_models.branches.timm.Timm
        init_args: {name: resnet18, weights: nowhere.safetensors, frozen: true}
"""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of two files of weights: one that is published at a `file:` address, one that nobody has."""
    (tmp_path / "origin").write_bytes(b"weights")
    row = Published("mine.safetensors", (tmp_path / "origin").as_uri(), hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(PUBLISHED, "mine", row)
    monkeypatch.setattr(files, "FOLDER", tmp_path / "fetched")
    path = tmp_path / "system.yaml"
    path.write_text(SYSTEM.replace("WEIGHTS", "mine"))
    return path


def test_what_can_be_had_is_fetched_and_the_rest_is_named(
    offered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fetch_weights([offered])
    assert found["mine"] == tmp_path / "fetched" / "mine.safetensors"
    assert str(found["nowhere.safetensors"]).startswith("nobody publishes 'nowhere.safetensors'; put the file")
    assert fetch_weights([offered])["mine"] == found["mine"]  # it is here now
    assert call("fetch", command.fetch, ["--config", str(offered)]) == 2
    out, err = capsys.readouterr()
    assert out.split() == ["mine:", str(found["mine"])]
    assert err.startswith("missing nowhere.safetensors: nobody publishes")


def test_all_is_here(offered: Path) -> None:
    assert call("fetch", command.fetch, ["mine"]) == 0
    assert isinstance(fetch_weights(names=["compression_level"])["compression_level"], Path)


def test_an_address_that_fails_costs_only_itself(offered: Path, tmp_path: Path) -> None:
    (tmp_path / "origin").unlink()
    found = fetch_weights([offered], ["compression_level"])
    assert "cannot be reached" in str(found["mine"])
    assert isinstance(found["compression_level"], Path)


def test_nothing_is_asked_for() -> None:
    with pytest.raises(ValueError, match="Nothing to fetch; give names of weights, or `--config`"):
        command.fetch()
