"""Decide what a resumed run takes from a checkpoint, and what from the words that a user typed."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_utilities.core.rank_zero import rank_zero_info

from cvqa_models import plain_yaml
from cvqa_models.training.callbacks.checkpoints import LAST
from cvqa_models.training.checkpoint import model_config, read_checkpoint
from cvqa_models.training.run_folder import NAMES, find_checkpoint, interrupted


def typed(words: list[str], option: str) -> str | None:
    """Return the value of `option` on a command line or in a file of its `--config`; the last one counts.

    Raises:
        ValueError: If such a file is not YAML.
    """
    value = None
    for index, word in enumerate(words):
        name, equals, given = word.partition("=")
        if not equals:
            given = words[index + 1] if index + 1 < len(words) else ""
        if name == f"--{option}":
            value = given
        elif name in ("--config", "-c") and os.path.isfile(given):  # noqa: PTH113 - not too long a name either
            content = plain_yaml.load(Path(given))
            if isinstance(content, dict) and option in content:
                value = content[option]
    return None if value in (None, "", "null") else str(value)


def resolve(command: str, run: Path, chosen: str | None) -> Path | None:
    """Return the checkpoint from which a command goes on, or None for a new run.

    Args:
        command: `fit`, `validate`, `test` or `predict`.
        run: Folder of the run.
        chosen: A path, a name of `run_folder.NAMES`, or None. A run that its scheduler interrupted goes on even with
            None.

    Raises:
        ValueError: If there is no such checkpoint, or it cannot be read. A `fit` from `last` without any checkpoint is
            a new run, so that one command both starts a run and goes on with it.
    """
    if chosen is None and command == "fit" and interrupted(run):
        rank_zero_info(f"'{run}' was interrupted by its scheduler and goes on.")
        chosen = LAST
    if chosen not in NAMES:
        return None if chosen is None else Path(chosen)
    path = find_checkpoint(run, chosen, to_train=command == "fit")
    if path is not None:
        rank_zero_info(f"`--ckpt_path {chosen}` is '{path}'.")
    elif command == "fit" and chosen == LAST:
        rank_zero_info(f"'{run}' has no checkpoint yet; training starts anew.")
    else:
        raise ValueError(f"'{run}' has no checkpoint that `{chosen}` could mean; give its path, or another `--run`.")
    return path


def trusted(words: list[str]) -> list[str]:
    """Return the packages that a command line names with `--trust`."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--trust", nargs="+", action="extend", default=[])
    packages: list[str] = options.parse_known_args(words)[0].trust
    return packages


def with_defaults(words: list[str], path: Path | None, packages: Sequence[str] = ()) -> list[str]:
    """Put a checkpoint's model configuration before the words that were typed, so that it only fills gaps.

    A checkpoint is data from outside. So its class names are checked here, before the parser sees them, which imports
    any name. A later value overrules an earlier one: the command line overrules a file, and a file the checkpoint.

    Args:
        words: What was typed.
        path: The checkpoint, if there is one.
        packages: Further packages whose classes it may build.

    Raises:
        ValueError: If the checkpoint cannot be read, or names anything else.
    """
    config = model_config(read_checkpoint(path), path, packages) if path is not None else {}
    return [words[0], f"--model={json.dumps(config)}", *words[1:]] if config else words


def check_progress(checkpoint: dict[str, Any], trainer: pl.Trainer, path: Path) -> None:
    """Raise a ValueError if training cannot go on from a checkpoint, or has already passed the requested end there."""
    try:
        epochs = int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
        steps = int(checkpoint["global_step"])
        checkpoint["optimizer_states"], checkpoint["lr_schedulers"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' holds weights alone, from which training cannot go on; give a checkpoint of `train.py fit`, or "
            "start a new run."
        ) from error
    limits = {"max_epochs": (epochs, trainer.max_epochs), "max_steps": (steps, trainer.max_steps)}
    for name, (done, limit) in limits.items():
        if limit is not None and limit != -1 and done > limit:
            raise ValueError(
                f"'{path}' was trained for {done} {name[4:]}, more than `{name}` {limit}; raise it, or go on from an "
                "earlier checkpoint."
            )
        if done == limit:
            rank_zero_info(f"'{path}' was trained to the end, {limit} {name[4:]}; raise `{name}` to train it further.")
