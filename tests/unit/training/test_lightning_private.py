"""Lightning's private names: where the package uses them, and that each still is what it is used for."""

from __future__ import annotations

import ast
import inspect
import re
import signal
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import pytorch_lightning as pl
from packaging.requirements import Requirement
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.plugins.io import AsyncCheckpointIO
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

import cvqa_models
from cvqa_models.training import lightning_private
from cvqa_models.training.cli import TrainCli

ROOT = Path(cvqa_models.__file__).parent
LIGHTNING = ("pytorch_lightning", "lightning_fabric", "lightning_utilities")


def imported(path: Path) -> set[str]:
    """Return the private names that a module imports from Lightning."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [name.name for node in nodes if (node.module or "").startswith(LIGHTNING) for name in node.names]
    return {name for name in names if name.startswith("_")}


def attributes(path: Path) -> set[str]:
    """Return the private attributes that a module uses, whosever they are."""
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_they_stand_in_one_module() -> None:
    place = Path(lightning_private.__file__)
    assert imported(place) == {"_given_hyperparameters"}
    own = attributes(place)
    assert own >= {"_trainer", "_combined_loader", "_accelerator_connector", "_signal_connector"}
    for path in ROOT.rglob("*.py"):
        if path != place:
            assert not imported(path), path
            assert not attributes(path) & own, path


def test_no_step_of_its_command_line_that_it_keeps_private_is_replaced() -> None:
    kept = {name for kind in TrainCli.__mro__[1:] for name in vars(kind) if name.startswith("_")}
    ours = {name for name in vars(TrainCli) if name.startswith("_") and not name.startswith("__")}
    assert not kept & ours


def test_the_version_is_held_below_the_next_release() -> None:
    (line,) = re.findall(r'"(pytorch-lightning[^"]*)"', (ROOT.parent / "pyproject.toml").read_text())
    lightning = Requirement(line)
    assert any(one.operator == "<" for one in lightning.specifier)
    assert lightning.specifier.contains(version("pytorch-lightning"))


def test_a_module_has_no_trainer_until_it_gets_one() -> None:
    module, trainer = pl.LightningModule(), pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert lightning_private.trainer_of(module) is None
    module.trainer = trainer
    assert lightning_private.trainer_of(module) is trainer


def test_a_loader_that_is_forgotten_is_made_anew() -> None:
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert trainer.fit_loop._combined_loader is None  # what `setup_data` looks at
    assert "self._combined_loader is not None" in inspect.getsource(type(trainer.fit_loop).setup_data)
    trainer.fit_loop._combined_loader = mock.Mock()
    lightning_private.forget_loader(trainer)
    assert trainer.fit_loop._combined_loader is None


def test_a_trainer_knows_its_cluster_and_has_its_job_queued_again() -> None:
    environment = LightningEnvironment()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, strategy="ddp", plugins=[environment]
    )
    assert lightning_private.cluster_environment(trainer) is environment
    with mock.patch.object(_SignalConnector, "_slurm_sigusr_handler_fn") as handler:
        lightning_private.queue_again(trainer)
    handler.assert_called_once_with(signal.SIGUSR1, None)


def test_only_the_command_line_knows_arguments_as_plain_values() -> None:
    assert not lightning_private.built_by_command_line()


def test_a_way_of_writing_through_another_says_when_it_has_none() -> None:
    assert AsyncCheckpointIO().checkpoint_io is None
