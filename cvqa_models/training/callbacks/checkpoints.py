"""The checkpoints of a run: which are kept, how they are written, and how they stay usable on another machine."""

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

from cvqa_models.files import write_bytes
from cvqa_models.places import reaches_out

BEST, LAST = "best", "last"
# State of a `ModelCheckpoint` that names files: single names, and names with their score.
_NAMES = ("best_model_path", "kth_best_model_path", "last_model_path")
_SCORES = "best_k_models"


def checkpoints(run: Path) -> list[pl.Callback]:
    """Return the callbacks that keep `best.ckpt`, of the best `val/result`, and `last.ckpt` in `run`/checkpoints.

    These are two callbacks, because `save_last` writes only when the best one does: a run would then go on from its
    best epoch, not its last. Each file has one name for the whole run, so a new one replaces the old one in one step.
    """
    folder = run / "checkpoints"
    best = ModelCheckpoint(
        dirpath=folder, filename=BEST, monitor="val/result", mode="max", enable_version_counter=False
    )
    # Without a monitor `mode` has no effect; it only keeps this callback's state apart from that of a user's callback.
    last = ModelCheckpoint(dirpath=folder, filename=LAST, mode="max", enable_version_counter=False)
    return [best, last, PortableState()]


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints whole or not at all.

    Lightning writes to the system's folder for temporary files and then moves the file. If that folder is on another
    file system, the move copies over the old checkpoint: a process killed during the copy loses both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; the old file of that name stays until the new one is complete.

        Raises:
            ValueError: If it cannot be written, as on a full disk.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(path, buffer.getvalue())


class PortableState(pl.Callback):
    """Keep this machine's paths out of the callbacks' state in a checkpoint, and let a resumed run obey its options.

    A checkpoint callback stores the names of the files in its folder; here they are made relative to that folder. So a
    run folder can be moved, and a checkpoint given to others does not show where it was made.
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
            # The best epoch of another run has no file in this run, so this run must not compare its epochs with it.
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
    """Return whether a callback's state names only files of its own folder, and has the form that Lightning writes.

    When a better epoch comes, the callback removes the files that its state names. So a name outside the folder is not
    accepted: it belongs to another run, or someone put it there to have a file removed.
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
