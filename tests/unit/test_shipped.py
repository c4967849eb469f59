"""Configurations by name: the user's own file first, then those that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvqa_models import shipped
from cvqa_models.arguments import call
from cvqa_models.commands.config import config
from cvqa_models.shipped import CONFIGS, find_config, with_configs
from cvqa_models.training.configured import Configured


@pytest.mark.parametrize(
    ("name", "file"),
    {
        "flagship": "model/flagship.yaml",
        "flagship.yaml": "model/flagship.yaml",
        "tiny/flagship": "tiny/flagship.yaml",
        "configs/data/mini.yaml": "data/mini.yaml",
        "cpu.yaml": "trainer/cpu.yaml",
        "ladder": "build/ladder.yaml",
    }.items(),
)
def test_a_name_finds_a_shipped_configuration_in_any_folder(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == CONFIGS / file


def test_the_users_own_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flagship.yaml").touch()
    assert find_config("flagship.yaml") == Path("flagship.yaml")


def test_a_name_that_is_near_another_is_asked_for() -> None:
    with pytest.raises(FileNotFoundError, match=r"no configuration 'flagshp\.yaml'; did you mean flagship\.yaml"):
        find_config("flagshp.yaml")
    with pytest.raises(FileNotFoundError, match=r"no configuration 'zzzz'; `cvqa config` lists"):
        find_config("zzzz")


def test_an_installation_without_configurations_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "CONFIGS", tmp_path / "none")
    with pytest.raises(ValueError, match=r"nor the folder '.*none'; install cvqa_models again"):
        find_config("flagship")


def test_every_command_takes_one_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = CONFIGS / "model/vsfa.yaml", CONFIGS / "data/mini.yaml"
    plain = [f"--config={model}", f"--config={data}", "--run", "x"]
    assert with_configs(["fit", "--config", "vsfa", "mini.yaml", "--run", "x"]) == ["fit", *plain]
    assert with_configs(["fit", "--config=vsfa.yaml", "-c", "mini", "--run", "x"]) == ["fit", *plain]
    assert Configured([Path("tiny/vsfa")], with_data=False).model_config["class_path"].endswith("Vsfa")


def test_the_command_prints_a_configuration_or_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    call("config", config, ["tiny/vsfa"])
    assert capsys.readouterr().out == (CONFIGS / "tiny/vsfa.yaml").read_text()
    call("config", config, [])
    listed = capsys.readouterr().out.split()
    assert listed == sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
