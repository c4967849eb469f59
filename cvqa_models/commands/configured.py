"""Models and data modules from configuration files, outside of `train.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.mistakes import innermost
from cvqa_models.models.module import QualityModule


class Configured:
    """Parsed configuration files for `train.py`, from which models are built.

    Args:
        files: Configuration files; a later one overrules an earlier one.
        changes: Further values by the name that they have on the command line, such as `model.recipe.lr_head`.
        with_data: Whether `data` must be there; otherwise it is passed over, and only `build_model` may be called.

    Raises:
        ValueError: If a key is unknown or a value has the wrong type.
        FileNotFoundError: If a file is not there.
    """

    def __init__(self, files: list[Path], changes: Mapping[str, Any] | None = None, *, with_data: bool = True) -> None:
        for path in files:
            if not path.is_file():
                raise FileNotFoundError(f"There is no configuration '{path}'.")
        self._parser = ArgumentParser(exit_on_error=False)
        self._parser.add_argument("--config", action="config")
        self._parser.add_subclass_arguments(QualityModule, "model", required=True)
        if with_data:
            self._parser.add_class_arguments(GroupDataModule, "data")
        for name in ("trainer", "run", "maps", "seed_everything", "ckpt_path", *(() if with_data else ("data",))):
            self._parser.add_argument(f"--{name}", type=Any, default=None, help="belongs to `train.py`; not used here")
        words = [f"--config={path}" for path in files]
        words += [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in (changes or {}).items()
        ]
        with _one_sentence():
            self._values: Namespace = self._parser.parse_args(words)

    @property
    def seed(self) -> int:
        """Return the seed that `train.py` would start from."""
        given = self._values.seed_everything
        return given if type(given) is int else 0

    def build(self, seed: int | None = None) -> tuple[QualityModule, GroupDataModule]:
        """Return a model and its data module, freshly initialised from `seed`, or from the generator as it is.

        Raises:
            ValueError: If a constructor refuses its arguments.
            FileNotFoundError: If a file that one of them names is not there.
        """
        if seed is not None:
            torch.manual_seed(seed)
        with _one_sentence():
            built = self._parser.instantiate(self._values)
        return built.model, built.data

    def build_model(self) -> QualityModule:
        """Return the model alone. Errors are those of `build`."""
        with _one_sentence():
            model: QualityModule = self._parser.instantiate(self._values).model
        return model

    @property
    def model_config(self) -> dict[str, Any]:
        """Return `class_path` and `init_args` of the model as plain values, as a checkpoint keeps them."""
        plain: dict[str, Any] = self._values.model.clone().as_dict()
        return plain


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn the parser's error into a ValueError."""
    try:
        yield
    except ArgumentError as error:
        raise ValueError(f"The configuration is not valid: {innermost(str(error))}.") from error
