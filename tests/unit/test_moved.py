"""Configurations and checkpoints of the release before name what has moved since, and still mean it."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cvqa_models import moved
from cvqa_models.shipped import CONFIGS
from cvqa_models.training.checkpoint import load_model, model_config
from cvqa_models.training.cli import TrainCli, run_cli
from cvqa_models.training.configured import Configured, read_yaml
from tests.cli.table_run import fit_words, write_inputs

LOSS = "cvqa_models.losses.grouped.GroupLoss"
PACKAGE = Path(moved.__file__).parent


def test_every_new_name_is_there_and_no_old_one_is() -> None:
    for old, new in moved.CLASSES.items():
        module, _, name = new.rpartition(".")
        assert hasattr(importlib.import_module(module), name)
        module, _, name = old.rpartition(".")
        file = PACKAGE.parent / (module.replace(".", "/") + ".py")
        assert not file.exists() or not hasattr(importlib.import_module(module), name)
    for path, names in moved.ARGUMENTS.items():
        module, _, name = path.rpartition(".")
        getattr(importlib.import_module(module), name)
        assert not set(names) & set(names.values())
    for path in moved.REWRITTEN:
        module, _, name = path.rpartition(".")
        getattr(importlib.import_module(module), name)


def test_names_are_changed_at_any_depth_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(moved, "CLASSES", {"old.A": "new.A"})
    monkeypatch.setattr(moved, "ARGUMENTS", {"new.A": {"count": "num_clips"}})
    (tmp_path / "c.yaml").write_text(
        "trainer: {callbacks: [{class_path: old.A, init_args: {count: 3, other: old.A, at: {class_path: old.A}}}]}\n"
    )
    content = {"class_path": "new.A", "init_args": {"num_clips": 3, "other": "old.A", "at": {"class_path": "new.A"}}}
    assert read_yaml(tmp_path / "c.yaml") == {"trainer": {"callbacks": [content]}}
    assert moved.current({"class_path": "B", "init_args": {"count": 3}}) == {
        "class_path": "B",
        "init_args": {"count": 3},
    }


def test_an_argument_given_by_both_of_its_names_is_left_for_the_parser_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moved, "ARGUMENTS", {"A": {"count": "num_clips"}})
    both = {"class_path": "A", "init_args": {"count": 3, "num_clips": 4}}
    assert moved.current(both) == both


def test_a_checkpoint_of_the_release_before_is_judged_by_what_its_names_mean_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = "cvqa_models.models.metric.Metric"
    monkeypatch.setattr(moved, "CLASSES", {"cvqa_models.gone.Metric": new, "elsewhere.Metric": "os.system"})
    hparams = {"_class_path": "cvqa_models.gone.Metric", "name": "piq:LPIPS"}
    config = model_config({"hyper_parameters": hparams}, "x.ckpt")
    assert config == {"class_path": new, "init_args": {"name": "piq:LPIPS"}}
    with pytest.raises(ValueError, match=r"names 'os\.system', which is not of this package"):
        model_config({"hyper_parameters": {"_class_path": "elsewhere.Metric"}}, "x.ckpt")


def test_training_reads_a_configuration_of_the_release_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def stop(cli: TrainCli) -> None:
        seen.append(cli.config["fit"])
        raise InterruptedError

    monkeypatch.setattr(TrainCli, "before_instantiate_classes", stop)
    (tmp_path / "old.yaml").write_text(
        "trainer: {callbacks: [{class_path: cvqa_models.callbacks.seeding.SeedSteps, init_args: {seed: 3}}]}\n"
    )
    files = [CONFIGS / "tiny/flagship.yaml", CONFIGS / "data/mini.yaml", tmp_path / "old.yaml"]
    with pytest.raises(InterruptedError):
        run_cli(["fit", *(f"--config={file}" for file in files)])
    (callback,) = seen[0].trainer.callbacks
    assert callback.class_path == "cvqa_models.training.callbacks.seeding.SeedSteps"


def loss(**arguments: object) -> dict[str, Any]:
    return {"class_path": LOSS, "init_args": arguments}


@pytest.mark.parametrize(
    ("before", "today"),
    [
        ({"plcc": 1.0, "srocc": 0, "mse": 0.3}, {"terms": {"plcc": 1.0, "krocc": 1.0, "mse": 0.3, "anchor": 0.05}}),
        ({"ranknet": 1.0, "plcc": 0.0, "srocc": 0.0, "krocc": 0.0, "anchor": 0.0}, {"terms": {"ranknet": 1.0}}),
        (
            {"anchor": 0.2, "temperature": 0.1, "by_size": True},
            {"temperature": 0.1, "by_size": True, "terms": {"plcc": 1.0, "srocc": 1.0, "krocc": 1.0, "anchor": 0.2}},
        ),
        ({"temperature": 0.1}, {"temperature": 0.1}),  # the usual terms, then as today
        ({"terms": {"plcc": 1.0}}, {"terms": {"plcc": 1.0}}),
        ({"terms": {"plcc": 1.0}, "mse": 1.0}, {"terms": {"plcc": 1.0}, "mse": 1.0}),  # a mistake, for the parser
    ],
)
def test_weights_of_before_become_the_terms_that_they_were(before: dict[str, Any], today: dict[str, Any]) -> None:
    config = {"model": {"class_path": "a.Model", "init_args": {"parts": [loss(**before)], "loss": loss(**before)}}}
    kept = copy.deepcopy(config)
    found = moved.current(config)["model"]["init_args"]
    assert found["loss"]["init_args"] == found["parts"][0]["init_args"] == today
    assert config == kept


@pytest.mark.parametrize(
    "other", [{"class_path": ["x"]}, {"class_path": LOSS, "init_args": "x"}, {"init_args": {"plcc": 1}}, "x", None]
)
def test_what_names_no_class_with_arguments_is_left_alone(other: object) -> None:
    assert moved.current(other) == other


def test_what_is_no_number_is_passed_on_to_be_refused() -> None:
    odd = torch.zeros(2)
    assert moved.current(loss(plcc=odd))["init_args"]["terms"]["plcc"] is odd


def test_an_old_configuration_and_an_old_checkpoint_build_the_same_model(tmp_path: Path) -> None:
    configs = write_inputs(tmp_path / "inputs")
    content = yaml.safe_load(configs[0].read_text())
    content["model"]["init_args"]["loss"] = loss(krocc=0.0, mse=0.25)
    configs[0].write_text(yaml.safe_dump(content))
    expected = {"plcc": 1.0, "srocc": 1.0, "mse": 0.25, "anchor": 0.05}
    model_config = Configured(configs).model_config
    assert model_config["init_args"]["loss"]["init_args"]["terms"] == expected
    run = tmp_path / "run"
    fitted = run_cli(fit_words(configs, run, "--trainer.max_epochs=1")).model
    path = next((run / "checkpoints").glob("last*.ckpt"))
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["hyper_parameters"]["loss"]["init_args"]["terms"] == expected
    checkpoint["hyper_parameters"]["loss"] = loss(krocc=0.0, mse=0.25)
    torch.save(checkpoint, tmp_path / "old.ckpt")
    found = load_model(tmp_path / "old.ckpt")
    pred, mos, group = torch.randn(8), torch.randn(8), torch.arange(2).repeat_interleave(4)
    assert torch.equal(found.loss.forward(pred, mos, group)[0], fitted.loss.forward(pred, mos, group)[0])


def test_a_recipe_goes_by_its_new_names_also_without_its_class() -> None:
    recipe = {"recipe": {"unfreeze_at": {"motion": 2}, "lr_head": 0.1}}
    assert moved.current(recipe) == {"recipe": {"trained_from_epoch": {"motion": 2}, "lr_head": 0.1}}
    both = {"recipe": {"unfreeze_at": {"motion": 2}, "trained_from_epoch": {}}}
    assert moved.current(both) == both
    assert moved.current({"recipe": "x"}) == {"recipe": "x"}


def test_the_data_of_a_configuration_goes_by_its_new_names() -> None:
    assert moved.current({"data": {"videos_per_chunk": 2, "seed": 1}}) == {"data": {"videos_at_once": 2, "seed": 1}}
