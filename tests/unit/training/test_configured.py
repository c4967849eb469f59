"""A branch that the recipe trains from some epoch on is built to be trained, whatever the rest of its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cvqa_models.shipped import CONFIGS
from cvqa_models.training.cli import TrainCli, run_cli
from cvqa_models.training.configured import Configured

FILES = [CONFIGS / "tiny" / "flagship.yaml", CONFIGS / "data" / "mini.yaml"]


def test_one_setting_says_that_a_branch_learns_and_from_when() -> None:
    before = Configured(FILES, {"model.drop": []}).build_model()
    assert before.each_branch()["motion"].frozen
    later = Configured(FILES, {"model.recipe.trained_from_epoch": {"motion": 2}}).build_model()
    assert {name for name, branch in later.each_branch().items() if not branch.frozen} == {
        "motion",
        *(name for name, branch in before.each_branch().items() if not branch.frozen),
    }
    assert later.branches["motion"].sources["net"].trained  # type: ignore[union-attr, index]


def test_so_it_is_in_a_system_with_named_branches_and_under_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = yaml.safe_load((CONFIGS / "tiny" / "cover.yaml").read_text())
    content["model"]["init_args"]["technical"]["init_args"]["frozen"] = True
    content["model"]["init_args"]["recipe"] = {"trained_from_epoch": {"technical": 1}}
    (tmp_path / "cover.yaml").write_text(yaml.safe_dump(content))
    files = [tmp_path / "cover.yaml", FILES[1]]
    assert not Configured(files).build_model().each_branch()["technical"].frozen
    seen = []

    def stop(cli: TrainCli) -> None:
        seen.append(cli.config["fit"].model.init_args.technical.init_args.frozen)
        raise InterruptedError

    monkeypatch.setattr(TrainCli, "_check_new", stop)
    with pytest.raises(InterruptedError):
        run_cli(["fit", *(f"--config={file}" for file in files), f"--run={tmp_path / 'run'}"])
    assert seen == [False]


def test_a_branch_that_is_always_frozen_is_refused() -> None:
    files = [CONFIGS / "tiny" / "tvqa.yaml", FILES[1]]
    changes = {"model.recipe.trained_from_epoch": {"spatial": 1}}
    with pytest.raises(ValueError, match="`trained_from_epoch` names 'spatial', a branch that is frozen for good"):
        Configured(files, changes).build_model()
