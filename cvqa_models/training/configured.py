"""Build models and data modules from configuration files, outside of `train.py`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from cvqa_models import plain_yaml
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.manifest import Source
from cvqa_models.messages import innermost
from cvqa_models.moved import current
from cvqa_models.shipped import find_config
from cvqa_models.training.module import QualityModule
from cvqa_models.trust import check_extent, imports_only_from

# Parts that only `train.py` uses; they are not read here.
OTHERS = ("trainer", "run", "maps", "seed_everything", "ckpt_path", "trust")


class Configured:
    """Parsed configuration files of `train.py`, from which models are built.

    Only classes of this package and of trusted packages are imported and built.

    Args:
        files: Configuration files; a later one overrules an earlier one.
        changes: Further values by their name on the command line, such as `model.recipe.lr_head`.
        with_data: Whether `data` must be there; if not, it is ignored, and only `build_model` may be called.
        trusted: Further packages whose classes may be built.

    Raises:
        ValueError: If a key is unknown, a value has the wrong type, or a class belongs to no trusted package.
        FileNotFoundError: If a file is not there.
    """

    def __init__(
        self,
        files: list[Path],
        changes: Mapping[str, Any] | None = None,
        *,
        with_data: bool = True,
        trusted: Sequence[str] = (),
    ) -> None:
        parts = [_parts(find_config(path)) for path in files]
        self._trusted = tuple(trusted)
        self._seed = next((part["seed_everything"] for part in reversed(parts) if "seed_everything" in part), None)
        self._parser = ArgumentParser(exit_on_error=False)
        self._parser.add_argument("--config", action="config")
        self._parser.add_subclass_arguments(QualityModule, "model", required=True)
        if with_data:
            self._parser.add_class_arguments(GroupDataModule, "data")
        used = ("model", "data") if with_data else ("model",)
        words = [f"--config={json.dumps({key: part[key] for key in used if key in part})}" for part in parts]
        unknown = [key for key in changes or {} if key.split(".")[0] not in used]
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no value of a configuration here; expected one of {', '.join(used)}.")
        words += [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in (changes or {}).items()
        ]
        with plain_parser_errors(), imports_only_from(self._trusted):
            self._values: Namespace = self._parser.parse_args(words)
        let_train(self._values.model)

    @property
    def seed(self) -> int:
        """Return the seed that `train.py` would start from."""
        return self._seed if type(self._seed) is int else 0

    def build(self, seed: int | None = None) -> tuple[QualityModule, GroupDataModule]:
        """Return a new model and its data module, initialised from `seed`; else from torch's generator as it is.

        Raises:
            ValueError: If a constructor refuses its arguments.
            FileNotFoundError: If a file that they name is not there.
        """
        if seed is not None:
            torch.manual_seed(seed)
        with plain_parser_errors(), imports_only_from(self._trusted):
            built = self._parser.instantiate(self._values)
        return built.model, built.data

    def build_model(self) -> QualityModule:
        """Return the model alone. Errors are those of `build`."""
        with plain_parser_errors(), imports_only_from(self._trusted):
            model: QualityModule = self._parser.instantiate(self._values).model
        return model

    @property
    def model_config(self) -> dict[str, Any]:
        """Return `class_path` and `init_args` of the model as plain values, as a checkpoint keeps them."""
        plain: dict[str, Any] = self._values.model.clone().as_dict()
        return plain


def build_source(values: object) -> Source:
    """Return the data set that the `source` of a configuration names, alone; only classes of this package are built.

    Args:
        values: `class_path` and `init_args`, as a run stores them in `logs/config.yaml`.

    Raises:
        ValueError: If they name no data set, or its constructor refuses its arguments.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(Source, "source", required=True)  # type: ignore[type-abstract]
    with plain_parser_errors(), imports_only_from():
        source: Source = parser.instantiate(parser.parse_object({"source": values})).source
    return source


def let_train(model: Namespace) -> None:
    """Set `frozen: false` on each branch that the recipe of a parsed model trains from some epoch on.

    So the user sets only `trained_from_epoch`. A branch whose class is always frozen is left as it is: the model
    refuses it.
    """
    arguments = model.init_args
    branches = arguments.get("branches") or arguments
    for name in arguments.get("recipe.trained_from_epoch") or ():
        branch = branches.get(name)
        if isinstance(branch, Namespace) and "frozen" in branch.init_args:
            branch.init_args.frozen = False


def read_yaml(path: Path) -> Any:
    """Return the plain values in a file of YAML, in the names of this release (`cvqa_models.moved`).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML, holds objects, or unfolds to more values than any real configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration '{path}'.")
    content = plain_yaml.load(path)
    try:
        check_extent(content)
        json.dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is no configuration: {' '.join(str(error).split())}.") from error
    return current(content)


def read_variants(path: Path) -> dict[str, dict[str, Any]]:
    """Return the variants of a configuration in a file: name -> values by their command-line name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of variants '{path}'; check the path.")
    content = read_yaml(path)
    if not content or not isinstance(content, dict) or not all(isinstance(values, dict) for values in content.values()):
        raise ValueError(f"'{path}' holds no mapping of name -> values; expected such as `mlp: {{model.hidden: 32}}`.")
    return {str(name): values for name, values in content.items()}


def _parts(path: Path) -> dict[str, Any]:
    """Return the top level of a configuration file: part -> content."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds no part such as `model`; expected a configuration for `train.py`.")
    unknown = [key for key in content if key not in ("model", "data", *OTHERS)]
    if unknown:
        raise ValueError(
            f"The configuration is not valid: '{path}' holds the key {str(unknown[0])!r}; expected `model`, `data` and "
            f"those of `train.py`, which are passed over here ({', '.join(OTHERS)})."
        )
    return content


@contextmanager
def plain_parser_errors() -> Iterator[None]:
    """Turn the parser's error into a ValueError."""
    try:
        yield
    except ArgumentError as error:
        denied = re.search(r"Importing '(\S+)' is not allowed", str(error))
        if denied:
            raise ValueError(
                f"The configuration names `{denied[1]}`, which is not of this package and was not imported; name its "
                "package with `--trust` if you trust its code."
            ) from error
        raise ValueError(f"The configuration is not valid: {innermost(str(error))}.") from error
