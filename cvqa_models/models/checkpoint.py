"""Checkpoints: reading them safely and rebuilding the model that they hold."""

from __future__ import annotations

import importlib.metadata
import io
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from cvqa_models.mistakes import innermost
from cvqa_models.models.module import QualityModule
from cvqa_models.weights import DAMAGED, written_by_torch


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint of this project, tensors on the CPU; no pickled code is ever run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, holds pickled code, or is no checkpoint of `train.py`.
        OSError: If the file may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint '{path}'; `train.py fit` writes them to RUN/checkpoints.")
    if not written_by_torch(path):
        raise ValueError(f"'{path}' is no checkpoint; expected a file that `train.py fit` wrote to RUN/checkpoints.")
    try:
        # Mapped, the state of the optimiser takes no memory where only the weights are copied.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of old formats; the errors below say more
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise ValueError(
            f"'{path}' is damaged or holds pickled objects other than tensors and plain values, which could run code; "
            "expected a checkpoint written by `train.py fit`."
        ) from error
    except (*DAMAGED, OSError) as error:
        raise ValueError(f"'{path}' is truncated or is no checkpoint; copy or train it again.") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"'{path}' has no `state_dict`; expected a checkpoint written by `train.py fit`.")
    return content


def to_bytes(model: QualityModule, config: dict[str, Any]) -> bytes:
    """Return a checkpoint like those of `train.py fit`, for a model that was fitted without a trainer.

    Args:
        model: The model.
        config: Its `class_path` and `init_args`, plain values.
    """
    content: dict[str, Any] = {
        "state_dict": model.state_dict(),
        "hyper_parameters": {"_class_path": config["class_path"], **config["init_args"]},
        "pytorch-lightning_version": importlib.metadata.version("pytorch-lightning"),
        "epoch": 0,
        "global_step": 0,
    }
    model.on_save_checkpoint(content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def model_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return `class_path` and `init_args` of the model in a checkpoint; empty if it was built without a config.

    Trained branches and the head lose their `weights`: the checkpoint holds what they have become, so the file that
    they started from need not be on this machine.
    """
    hparams = dict(checkpoint.get("hyper_parameters", {}))
    hparams.pop("_instantiator", None)
    class_path = hparams.pop("_class_path", None)
    if class_path is None:
        return {}
    if "weights" in hparams:
        hparams["weights"] = None
    return {"class_path": class_path, "init_args": _without_start_weights(hparams)}


def _without_start_weights(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_start_weights(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_start_weights(item) for key, item in value.items()}
    if "weights" in plain and plain.get("frozen") is False:
        plain["weights"] = None
    return plain


def load_model(path: str | Path) -> QualityModule:
    """Return the model of a checkpoint, in eval mode on the CPU.

    Raises:
        FileNotFoundError: If the checkpoint, or the weights of a frozen branch, are not on this machine.
        ValueError: If the file is unreadable, its class or arguments are not those of this installation, or its weights
            and its configuration disagree.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    checkpoint = read_checkpoint(path)
    config = model_config(checkpoint)
    if not config:
        raise ValueError(f"'{path}' holds no model configuration; expected a checkpoint written by `train.py fit`.")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    try:
        model = parser.instantiate(parser.parse_object({"model": config})).model
    except ArgumentError as error:
        raise ValueError(
            f"'{path}' holds a model that cannot be built here: {innermost(str(error))}; make its class importable, or "
            "train it again with this version."
        ) from error
    assert isinstance(model, QualityModule)
    load_weights(model, checkpoint, path)
    return model.eval()


def load_weights(model: QualityModule, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Load a checkpoint's weights into `model`, exactly; errors are those of `check_fits`."""
    check_fits(model, checkpoint, path)
    model.load_state_dict(checkpoint["state_dict"])


def check_fits(model: QualityModule, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put the model's own frozen weights where the checkpoint left them out, and compare every key and shape.

    Raises:
        ValueError: If keys or shapes differ, naming the first of them; the checkpoint is for another model then.
    """
    model.on_load_checkpoint(checkpoint)
    state = checkpoint["state_dict"]
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    misshapen = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or unexpected or misshapen:
        raise ValueError(
            f"'{path}' is a checkpoint for another model: {len(missing)} keys missing, {len(unexpected)} unexpected, "
            f"{len(misshapen)} of another shape (first: {(missing + unexpected + misshapen)[0]!r}); give the "
            "configuration that it was trained with."
        )
