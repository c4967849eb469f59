"""Fetch all weights that configurations need, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cvqa_models.inference.systems import read_system
from cvqa_models.shipped import find_config
from cvqa_models.weights import files
from cvqa_models.weights.files import published, resolve
from cvqa_models.weights.sources import WeightSource


def fetch_weights(configs: Sequence[str | Path] = (), names: Sequence[str] = ()) -> dict[str, Path | str]:
    """Fetch the weights that configurations of systems need, and others by name, unless they are already here.

    Args:
        configs: Configuration files, or names of shipped ones such as `flagship`.
        names: Published weights.

    Returns:
        Name -> the file, or a sentence that says why there is none; if one fails, the others are still fetched.

    Raises:
        FileNotFoundError: If there is no such configuration.
        ValueError: If one is not valid.
    """
    needed = dict.fromkeys([*(name for one in configs for name in read_system(find_config(one)).weights), *names])
    return {name: _one(name) for name in needed}


def _one(name: str) -> Path | str:
    if WeightSource(name).here:
        try:
            return resolve(name)
        except FileNotFoundError:  # the folder of a language model
            return resolve(f"{name}/config.json").parent
    if published(name) is None:
        return f"nobody publishes '{name}'; put the file into the folder that CVQA_WEIGHTS names, or give its path"
    try:
        return files.fetch(name, files.FOLDER)
    except (FileNotFoundError, ValueError) as error:
        return str(error)
