"""Every shipped configuration parses against the real signatures, and mistakes are refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pytorch_lightning.cli import LightningArgumentParser

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.training.cli import run_cli
from cvqa_models.training.configured import Configured
from cvqa_models.training.module import QualityModule

ROOT = Path(__file__).resolve().parents[2]
# A ladder of encodes and a list of variants are no training configurations.
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name not in ("build", "variants"))
COMMANDS = ("fit", "validate", "test", "predict")
MODELS = sorted((ROOT / "configs" / "model").glob("*.yaml"))


def parse(*files: Path) -> object:
    from pytorch_lightning import Trainer

    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(QualityModule, "model", subclass_mode=True, required=False)
    parser.add_lightning_class_args(GroupDataModule, "data", required=False)
    config: dict = {}
    for file in files:
        config.update(yaml.safe_load(file.read_text()))
    return parser.parse_object(config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_configuration_fits_the_signatures(path: Path) -> None:
    needs_data = "source" not in (yaml.safe_load(path.read_text()).get("data") or {})
    parse(*([ROOT / "configs/data/mini.yaml"] if needs_data else []), path)


def test_every_system_has_a_tiny_twin() -> None:
    assert {path.name for path in MODELS} == {path.name for path in (ROOT / "configs" / "tiny").glob("*.yaml")}


def test_open_branches_are_spelt_only_in_models() -> None:
    """A `branches:` dict in an overlay would drop the branches that it does not name, without a word."""
    elsewhere = [path for path in CONFIGS if path.parent.name not in ("model", "tiny", "pretrain", "experiment")]
    assert not [path for path in elsewhere if "branches:" in path.read_text()]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_configuration_says_what_it_is(path: Path) -> None:
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_features_go_where_git_does_not_look(path: Path) -> None:
    store = (yaml.safe_load(path.read_text()).get("data") or {}).get("store")
    assert store is None or store.startswith("data/")
    assert "/data/" in (ROOT / ".gitignore").read_text().splitlines()


def cli(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=cwd, check=False)


OBJECTIVES = yaml.safe_load((ROOT / "configs/experiment/variants/objectives.yaml").read_text())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_has_the_head_and_the_terms_of_its_name(name: str) -> None:
    model = Configured([ROOT / "configs/experiment/cvqad_table_nr.yaml"], OBJECTIVES[name]).model_config["init_args"]
    head, _, terms = name.partition(" ")
    assert model["hidden"] == {"linear": None, "mlp": 32}[head]
    assert set(model["loss"]["init_args"]["terms"]) == set(terms.split(" + "))


def test_changes_arrive_as_on_the_command_line(tmp_path: Path) -> None:
    files = [ROOT / "configs/tiny/flagship.yaml", ROOT / "configs/data/mini.yaml"]
    model, data = Configured(files, {"data.store": str(tmp_path / "kept"), "model.recipe.warmup": 0.25}).build(0)
    assert data.store is not None
    assert data.store.root == tmp_path / "kept"
    assert model.recipe.warmup == 0.25


def test_both_heads_train_under_every_objective() -> None:
    single = {"mse", "standard_mse", "pooled_plcc", "plcc", "fisher", "srocc", "krocc", "ranknet", "margin"}
    summed = {"plcc + srocc", "plcc + srocc + krocc", "mse + plcc + srocc + krocc"}
    for head in ("linear", "mlp"):
        own = {name.partition(" ")[2] for name in OBJECTIVES if name.startswith(head)}
        assert own == single | summed


def test_every_command_is_shown_where_none_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """The options of a command that is not chosen are not even set up."""
    with pytest.raises(SystemExit) as end:
        run_cli(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"    {name} " in shown for name in COMMANDS)
    with pytest.raises(ValueError, match=".*".join(COMMANDS)):
        run_cli(["fti"])


def test_a_misspelt_key_is_refused_and_named(tmp_path: Path) -> None:
    config = ["--config", str(ROOT / "configs/tiny/flagship.yaml"), "--config", str(ROOT / "configs/data/mini.yaml")]
    done = cli("fit", *config, "--model.recipe.lr_hed", "0.1", cwd=tmp_path)
    assert done.returncode == 2
    assert "lr_hed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
