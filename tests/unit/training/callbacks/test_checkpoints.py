"""A resumed run takes over what a checkpoint says of its own folder, and nothing that leads out of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.callbacks import ModelCheckpoint

from cvqa_models.training.callbacks.checkpoints import PortableState


def loaded(folder: Path, state: object) -> dict[str, Any]:
    """Return the states that a resumed run is given, of a checkpoint that holds `state` for its callback."""
    keeper = ModelCheckpoint(dirpath=folder, filename="best", monitor="val/result", mode="max")
    strategy = SimpleNamespace(reduce_boolean_decision=lambda found, all: found)
    trainer = SimpleNamespace(
        checkpoint_callbacks=[keeper], early_stopping_callbacks=[], is_global_zero=True, strategy=strategy
    )
    states = {keeper.state_key: state}
    PortableState().on_load_checkpoint(trainer, None, {"callbacks": states})  # type: ignore[arg-type]
    return states


def remembered(best: str, dirpath: str | None = None) -> dict[str, Any]:
    return {
        "dirpath": dirpath,
        "best_model_path": best,
        "kth_best_model_path": best,
        "last_model_path": "",
        "best_k_models": {best: 0.5},
    }


def test_what_lies_in_the_folder_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    for state in (remembered("best.ckpt"), remembered("/old/checkpoints/best.ckpt", "/old/checkpoints")):
        (found,) = loaded(folder, state).values()
        assert found["best_k_models"] == {str(folder / "best.ckpt"): 0.5}
        assert found["dirpath"] == str(folder)


@pytest.mark.parametrize(
    "state",
    [
        *({**remembered("best.ckpt"), key: "../../precious"} for key in ("kth_best_model_path", "best_model_path")),
        {**remembered("best.ckpt"), "best_k_models": {"../../precious": 0.5}},
        {**remembered("best.ckpt"), "last_model_path": "memory://precious"},
        remembered("/run/checkpoints/../../precious", "/run/checkpoints"),
        remembered("/precious"),
        remembered("/other/run/best.ckpt", "/run/checkpoints"),
        {**remembered("best.ckpt"), "best_k_models": ["best.ckpt"]},
        {**remembered("best.ckpt"), "best_model_path": 1},
        {**remembered("best.ckpt"), "dirpath": 1},
        ["best.ckpt"],
    ],
)
def test_what_leads_out_of_the_folder_is_not_taken_over(tmp_path: Path, state: object) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").touch()
    assert loaded(folder, state) == {}
