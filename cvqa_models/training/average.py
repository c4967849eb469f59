"""Average the weights of checkpoints; the mean is often better than each of them (model soups, arXiv 2203.05482)."""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cvqa_models.files import write_bytes
from cvqa_models.training.checkpoint import read_checkpoint

_SAME = ("hyper_parameters", "frozen_digests")  # these must be equal in all checkpoints


def average(checkpoints: Sequence[str | Path], out: str | Path) -> None:
    """Write a checkpoint with the mean weights of several; it scores and predicts as any other, but holds no optimiser.

    Floating-point tensors are averaged in float64. Whole numbers, such as counts of batches, are those of the last
    checkpoint. All must be of one model: the same configuration and the same frozen weights.

    Args:
        checkpoints: Two or more checkpoints of `cvqa fit`, such as those of several seeds or epochs.
        out: File to write.

    Raises:
        FileNotFoundError: If a checkpoint is not there.
        ValueError: If there are fewer than two, one cannot be read, they are of different models, or `out` cannot be
            written.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"{len(checkpoints)} checkpoint given; an average takes two or more.")
    last = read_checkpoint(checkpoints[-1])
    sums: dict[str, Tensor] = {}
    for path in checkpoints:  # one at a time in memory
        content = read_checkpoint(path)
        _check_alike(content, path, last, checkpoints[-1])
        for key, tensor in content["state_dict"].items():
            if tensor.is_floating_point():
                sums[key] = sums.get(key, 0) + tensor.double()
    state = {
        key: (sums[key] / len(checkpoints)).to(tensor.dtype) if key in sums else tensor
        for key, tensor in last["state_dict"].items()
    }
    kept = {key: last[key] for key in _SAME if key in last}
    version = importlib.metadata.version("pytorch-lightning")
    buffer = io.BytesIO()
    torch.save(
        {"state_dict": state, **kept, "pytorch-lightning_version": version, "epoch": 0, "global_step": 0}, buffer
    )
    write_bytes(out, buffer.getvalue())


def _check_alike(content: Mapping[str, Any], path: str | Path, last: Mapping[str, Any], end: str | Path) -> None:
    shapes, others = (
        {key: (tensor.shape, tensor.dtype) for key, tensor in one["state_dict"].items()} for one in (content, last)
    )
    differing = [key for key in {**shapes, **others} if shapes.get(key) != others.get(key)]
    for part in _SAME:
        ours, theirs = (one.get(part) or {} for one in (content, last))
        differing += [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    if differing:
        raise ValueError(
            f"'{path}' and '{end}' are of different models: they differ in {', '.join(map(str, differing[:3]))}; "
            "average checkpoints of one configuration."
        )
