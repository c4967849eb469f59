"""Read checkpoints safely, and rebuild the models that they hold."""

from __future__ import annotations

import importlib.metadata
import io
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from cvqa_models.messages import sentence
from cvqa_models.moved import current
from cvqa_models.places import located, named
from cvqa_models.training.module import QualityModule
from cvqa_models.trust import check_extent, check_model, imports_only_from
from cvqa_models.weights.reading import DAMAGED, check_archive, check_tensor, written_by_torch
from cvqa_models.weights.sources import parts_from_checkpoint


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of a checkpoint of this project, tensors on the CPU; no pickled code is ever run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, holds pickled code, or is not a checkpoint of `train.py`.
        OSError: If the file may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint '{path}'; `train.py fit` writes them to RUN/checkpoints.")
    if not written_by_torch(path):
        raise ValueError(f"'{path}' is no checkpoint; expected a file that `train.py fit` wrote to RUN/checkpoints.")
    check_archive(path)
    try:
        # The file is memory-mapped: the state of the optimiser takes no memory if only the weights are copied.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about old formats; the errors below say more
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise ValueError(
            f"'{path}' is damaged or holds pickled objects other than tensors and plain values, which could run code; "
            "expected a checkpoint written by `train.py fit`."
        ) from error
    except (*DAMAGED, OSError) as error:
        raise ValueError(f"'{path}' is truncated or is no checkpoint; copy or train it again.") from error
    _check_content(content, path)
    return content  # type: ignore[no-any-return]


def _check_content(content: Any, path: Path) -> None:
    """Raise a ValueError unless a checkpoint's parts are of the types that Lightning writes, and no weight is NaN."""
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"'{path}' has no `state_dict`; expected a checkpoint written by `train.py fit`.")
    for key in ("state_dict", "current_model_state", "hyper_parameters", "frozen_digests", "callbacks"):
        part = content.get(key, {})
        if not isinstance(part, Mapping) or not all(type(name) is str for name in part):
            raise ValueError(f"'{path}' holds no table of names as `{key}`; copy or train it again.")
    for key in ("state_dict", "current_model_state"):
        wrong = [name for name, value in content.get(key, {}).items() if not isinstance(value, Tensor)]
        if wrong:
            raise ValueError(f"'{path}' holds no tensor as {wrong[0][:80]!r}; copy or train it again.")
    for tensor in _tensors(content):
        check_tensor(tensor, path)
    for name, tensor in content["state_dict"].items():
        if tensor.isnan().any():
            raise ValueError(
                f"'{path}' holds weights that are no numbers (NaN in {name[:80]!r}): its training diverged; take an "
                "earlier checkpoint, or train again with a lower learning rate."
            )


def _tensors(content: object) -> Iterator[Tensor]:
    """Yield every tensor at any depth, once: lists may hold each other many times."""
    left, seen = [content], set()
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping):
            left += item.values()
        elif isinstance(item, list | tuple | set | frozenset):
            left += item


def to_bytes(model: QualityModule, config: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint like those of `train.py fit`, for a model that was fitted without a trainer.

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


def model_config(checkpoint: dict[str, Any], path: str | Path, trusted: Sequence[str] = ()) -> dict[str, Any]:
    """Return `class_path` and `init_args` of the model in a checkpoint; empty if it was built without a config.

    They name only classes of trusted packages. Files are searched by their names (see `located`), and nothing is
    fetched. Build the model inside `parts_from_checkpoint`: the files from which training started may not be on this
    machine.

    Args:
        checkpoint: Content of the checkpoint.
        path: Its file, for the message.
        trusted: Further packages whose classes it may build.

    Raises:
        ValueError: If it names other classes, or values of wrong types; nothing was imported for them.
    """
    hparams = dict(checkpoint.get("hyper_parameters", {}))
    try:
        check_extent(hparams)
        class_path = hparams.pop("_class_path", None)
        if class_path is None:
            return {}
        hparams.pop("_instantiator", None)
        config = current({"class_path": class_path, "init_args": _offline(named(hparams))})
        check_model(config, QualityModule, trusted)
    except ValueError as error:
        raise ValueError(f"'{path}' holds a model that cannot be built here: {error}.") from error
    return {"class_path": config["class_path"], "init_args": located(config["init_args"], Path(path))}


def _offline(value: Any) -> Any:
    """Return arguments that do not allow any fetching."""
    if isinstance(value, list):
        return [_offline(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _offline(item) for key, item in value.items()}
    if plain.get("download") is True:
        plain["download"] = False
    return plain


def load_model(path: str | Path, trusted: Sequence[str] = ()) -> QualityModule:
    """Return the model of a checkpoint, in eval mode on the CPU.

    Args:
        path: The checkpoint.
        trusted: Further packages whose classes it may build.

    Raises:
        FileNotFoundError: If the checkpoint is not there.
        ValueError: If the file cannot be read, this installation lacks its class or arguments, the weights of a frozen
            branch are not on this machine, or its weights do not fit its configuration.
    """
    return _model(read_checkpoint(path), path, trusted)


def whole_model(config: Any, state: dict[str, Tensor], path: Path, trusted: Sequence[str] = ()) -> QualityModule:
    """Return a model in eval mode on the CPU, with all its weights given, frozen ones too; no other file is read.

    Args:
        config: Its `class_path` and `init_args`, which may come from a stranger.
        state: Its weights.
        path: Their file, for messages.
        trusted: Further packages whose classes it may build.

    Raises:
        ValueError: If `config` is not a configuration, names other classes or values of wrong types, or does not
            fit the weights.
    """
    if not isinstance(config, dict) or not isinstance(config.get("init_args"), dict):
        raise ValueError(f"'{path}' holds no `class_path` and `init_args` of a model; expected what `cvqa push` wrote.")
    arguments = {"_class_path": config.get("class_path"), **config["init_args"]}
    content = {"state_dict": state, "hyper_parameters": arguments}
    if "calibration" in config:
        content["calibration"] = config["calibration"]
    _check_content(content, path)
    return _model(content, path, trusted, whole=True)


def _model(
    checkpoint: dict[str, Any], path: str | Path, trusted: Sequence[str], *, whole: bool = False
) -> QualityModule:
    config = model_config(checkpoint, path, trusted)
    if not config:
        raise ValueError(f"'{path}' holds no model configuration; expected a checkpoint written by `train.py fit`.")
    model = _build(config, path, trusted, whole=whole)
    load_weights(model, checkpoint, path)
    return model.eval()


def _build(config: dict[str, Any], path: str | Path, trusted: Sequence[str], *, whole: bool) -> QualityModule:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(QualityModule, "model")
    try:
        with imports_only_from(trusted), parts_from_checkpoint(frozen=whole):
            model = parser.instantiate(parser.parse_object({"model": config})).model
    except Exception as error:  # networks raise errors of any kind for impossible sizes
        raise ValueError(
            f"'{path}' holds a model that cannot be built here: {sentence(error).strip('. ') or type(error).__name__}."
        ) from error
    assert isinstance(model, QualityModule)
    return model


def load_weights(model: QualityModule, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Load a checkpoint's weights into `model`, exactly; errors are those of `check_fits`."""
    check_fits(model, checkpoint, path)
    model.load_state_dict(checkpoint["state_dict"])


def check_fits(model: QualityModule, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Add the model's own frozen weights that the checkpoint left out, and compare every key and shape.

    Raises:
        ValueError: If keys or shapes differ: the checkpoint is then for another model, and the message names the first
            difference. Also if a parameter is infinite.
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
    # A buffer may be a mask of infinities; a parameter never is.
    broken = [name for name, _ in model.named_parameters() if state[name].isinf().any()]
    if broken:
        raise ValueError(f"'{path}' holds weights that are no numbers (infinity in {broken[0]!r}); train it again.")
