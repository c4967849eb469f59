"""Write only the weights of a checkpoint, in a form that can be given to others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from cvqa_models.files import write_bytes
from cvqa_models.training.checkpoint import load_model, read_checkpoint


def export(checkpoint: Path, out: Path, *, with_frozen: bool = False, trust: Sequence[str] = ()) -> int:
    """Write the weights of a checkpoint as safetensors, and return the number of tensors.

    Optimiser, configuration and paths are left out; the same weights give the same bytes. The curve of `cvqa calibrate`
    is kept, in the file's metadata.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        out: File to write, ending in `.safetensors`.
        with_frozen: Whether to add the frozen weights, which the checkpoint does not hold; the new file is then the
            whole model.
        trust: Your own packages whose classes the checkpoint may build; their code is run.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or `out` has another ending.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"`out` is '{out}'; expected a name that ends in .safetensors.")
    content = read_checkpoint(checkpoint)
    state = load_model(checkpoint, trust).state_dict() if with_frozen else content["state_dict"]
    curve = {"calibration": json.dumps(content["calibration"])} if "calibration" in content else None
    write_bytes(out, save({key: tensor.contiguous() for key, tensor in state.items()}, curve))
    return len(state)
