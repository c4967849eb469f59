"""The checkpoints of a run: which are kept, how they are written, and what of them holds on another machine."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from cvqa_models.data.atomic import write_bytes
from cvqa_models.places import reaches_out

BEST, LAST = "best", "last"
# What a `ModelCheckpoint` remembers of files: single names, and names with their score.
_NAMES = ("best_model_path", "kth_best_model_path", "last_model_path")
_SCORES = "best_k_models"


def checkpoints(run: Path) -> list[pl.Callback]:
    """Return the callbacks that keep `best.ckpt`, of the best `val/result`, and `last.ckpt` in `run`/checkpoints.

    Two callbacks, because `save_last` writes only when the best one does: a run would be continued from its best epoch.
    Each file has one name for the whole run, so a new one takes the place of the old one in one step.
    """
    folder = run / "checkpoints"
    best = ModelCheckpoint(
        dirpath=folder, filename=BEST, monitor="val/result", mode="max", enable_version_counter=False
    )
    # `mode` says nothing without a monitor, but tells this callback's state from that of one that a user adds.
    last = ModelCheckpoint(dirpath=folder, filename=LAST, mode="max", enable_version_counter=False)
    return [best, last, PortableState()]


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all.

    Lightning writes to the system's folder for temporary files and moves. Where that is another file system, the move
    is a copy over the old checkpoint, and whoever is killed during it has neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; the old file of that name is there until the new one is whole.

        Raises:
            ValueError: If it cannot be written, as on a full disk.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(path, buffer.getvalue())


class PortableState(pl.Callback):
    """Keep what callbacks store in a checkpoint free of this machine's paths, and let a resumed run obey its options.

    A checkpoint callback remembers the files of its folder; in the checkpoint they are named relative to it. So a run
    folder can be moved, and a checkpoint that is passed on says nothing of where it was made.
    """

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states = checkpoint["callbacks"]
        for keeper in _file_keepers(trainer):
            if keeper.state_key in states:
                states[keeper.state_key] = _relative(states[keeper.state_key])

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        states = checkpoint["callbacks"]
        for keeper in _file_keepers(trainer):
            if keeper.state_key not in states:
                continue
            state = states.pop(keeper.state_key)
            if not _stays_inside(state):
                continue
            state = _absolute(_relative(state), str(keeper.dirpath))
            # The best epoch of another run is no file of this one, which would wait for a better one in vain.
            if keeper.file_exists(state["best_model_path"] or str(keeper.dirpath), trainer):
                states[keeper.state_key] = state
        for stopping in trainer.early_stopping_callbacks:
            if isinstance(stopping, EarlyStopping) and stopping.state_key in states:
                states[stopping.state_key]["patience"] = stopping.patience


def _file_keepers(trainer: pl.Trainer) -> list[ModelCheckpoint]:
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]


def _relative(state: dict[str, Any]) -> dict[str, Any]:
    """Return a callback's state whose files are named relative to its folder, and without that folder."""
    folder = state.get("dirpath")
    return state if folder is None else _renamed(state, None, lambda name: os.path.relpath(name, folder))


def _absolute(state: dict[str, Any], folder: str) -> dict[str, Any]:
    return _renamed(state, folder, lambda name: str(Path(folder) / name))


def _stays_inside(state: object) -> bool:
    """Return whether a callback's state names files of its own folder alone, and is of the form that Lightning writes.

    The callback removes what its state names when a better epoch comes, so a name that leads out of the folder is not
    taken over: it is of another run, or was put there to remove something.
    """
    if not isinstance(state, dict) or not isinstance(state.get(_SCORES, {}), dict):
        return False
    names = [*(state.get(key) or "" for key in _NAMES), *state.get(_SCORES, {}), state.get("dirpath") or ""]
    if not all(isinstance(name, str) for name in names):
        return False
    relative = _relative(state)
    return not any(
        reaches_out(name)
        for name in [*(relative[key] for key in _NAMES if key in relative), *relative.get(_SCORES, {})]
    )


def _renamed(state: dict[str, Any], folder: str | None, rename: Callable[[str], str]) -> dict[str, Any]:
    names = {key: rename(state[key]) if state.get(key) else "" for key in _NAMES}
    scores = {rename(name): score for name, score in state.get(_SCORES, {}).items()}
    return {**state, **names, _SCORES: scores, "dirpath": folder}
