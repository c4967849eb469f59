"""A model goes to a hub and comes back, through a stub of the hub's client that keeps files in a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError

from cvqa_models import hub
from cvqa_models.inference.hub_models import push
from cvqa_models.inference.load import load
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.training.calibration import from_plain
from cvqa_models.training.checkpoint import to_bytes
from cvqa_models.weights.files import resolve

LEVEL = "cvqa_models.branches.compression_damage.CompressionDamage"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository owner/name as a folder."""
    folder = tmp_path / "there"

    class Client:
        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
            if repo != "owner/name":
                raise OSError("403 Forbidden")
            folder.mkdir(exist_ok=exist_ok)
            return f"https://hub/{repo}"

        def file_exists(self, repo: str, name: str) -> bool:
            return (folder / name).exists()

        def upload_folder(self, *, repo_id: str, folder_path: Path, ignore_patterns: list[str] | None) -> None:
            for path in folder_path.iterdir():
                if not any(fnmatch(path.name, pattern) for pattern in ignore_patterns or []):
                    shutil.copy(path, folder)

    def fetch(repo: str, name: str) -> Path:
        assert repo == "owner/name"
        return folder / name

    monkeypatch.setattr(huggingface_hub, "HfApi", Client)
    monkeypatch.setattr(hub, "fetch", fetch)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint whose frozen branch lies in a file of its own."""
    weights = tmp_path / "mine.safetensors"
    shutil.copy(resolve("compression_damage"), weights)
    level = {"class_path": LEVEL, "init_args": {"weights": str(weights), "frozen": True}}
    arguments = {"level": level, "loss": {"class_path": "cvqa_models.losses.grouped.GroupLoss"}, "hidden": None}
    config = {"class_path": "cvqa_models.models.compression_level.CompressionLevelModel"}
    model = shipped_model()
    model.head.last.bias.data.fill_(7)
    path = tmp_path / "best.ckpt"
    path.write_bytes(to_bytes(model, {**config, "init_args": {**arguments, "norm": "standard"}}))
    return path


def test_a_model_comes_back_whole_without_the_files_that_it_was_made_of(
    there: Path, checkpoint: Path, tmp_path: Path
) -> None:
    before = load(checkpoint, device="cpu")
    assert push(checkpoint, "owner/name") == "https://hub/owner/name"
    assert sorted(path.name for path in there.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert str(tmp_path) not in "".join(path.read_text(errors="replace") for path in there.iterdir())
    (tmp_path / "mine.safetensors").unlink()
    after = load("hf:owner/name", device="cpu")
    assert after.weights == before.weights
    frames = torch.randint(0, 256, (4, 120, 160, 3), dtype=torch.uint8)
    assert after(frames, fps=25.0).value == before(frames, fps=25.0).value


def test_a_calibration_goes_with_its_model(there: Path, checkpoint: Path) -> None:
    plain = {"raw": [0.0, 100.0], "scale": [1.0, 5.0], "radius": 0.5, "coverage": 0.9, "sources": 9, "ends": [1, 5]}
    torch.save({**torch.load(checkpoint, weights_only=True), "calibration": plain}, checkpoint)
    push(checkpoint, "owner/name")
    scorer = load("hf:owner/name", device="cpu")
    assert scorer.model.calibration == from_plain(plain)
    assert scorer.scale.startswith("the panel's scale from 1 to 5")


def test_a_card_that_somebody_wrote_stays(there: Path, checkpoint: Path) -> None:
    push(checkpoint, "owner/name")
    assert 'load("hf:owner/name")' in (there / "README.md").read_text()
    (there / "README.md").write_text("mine")
    push(checkpoint, "owner/name")
    assert (there / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda config: config.update(class_path="os.system"), "cannot be built here: .*os.system"),
        (lambda config: config["init_args"].update(hidden={"class_path": "os.system"}), "cannot be built here"),
        (lambda config: config.pop("init_args"), "holds no `class_path` and `init_args`"),
        (
            lambda config: config["init_args"]["level"].update(
                class_path="cvqa_models.branches.compression_level.CompressionLevel"
            ),
            "for another model",
        ),
    ],
)
def test_a_stranger_s_repository_is_data(
    there: Path, checkpoint: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    push(checkpoint, "owner/name")
    config = json.loads((there / "config.json").read_text())
    change(config)
    (there / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=reason):
        load("hf:owner/name")


def test_what_cannot_be_pushed_or_pulled_is_one_sentence(there: Path, checkpoint: Path) -> None:
    assert issubclass(HfHubHTTPError, OSError)
    with pytest.raises(ValueError, match=r"Nothing was put into owner/other \(403 Forbidden\); log in"):
        push(checkpoint, "owner/other")
    push(checkpoint, "owner/name")
    (there / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"'config\.json' of owner/name is no JSON"):
        load("hf:owner/name")
    with pytest.raises(ValueError, match="'hf:owner/name' holds its own weights"):
        load("hf:owner/name", weights="x")
