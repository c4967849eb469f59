"""`cvqa export`: the weights of a checkpoint alone."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.data.atomic import write_bytes
from cvqa_models.models.checkpoint import load_model, read_checkpoint
from cvqa_models.terminal import say


def export(checkpoint: Path, /, *, out: Path, with_frozen: bool = False, trust: list[str] | None = None) -> None:
    """Write the weights of a checkpoint as safetensors, without its optimiser, configuration and paths.

    Any config may name the file as `weights` of a branch of the same kind; the same weights give the same bytes.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        out: File to write, ending in `.safetensors`.
        with_frozen: Whether the frozen weights go in that the checkpoint leaves in files of their own, so that the new
            file is the whole model.
        trust: Your own packages whose classes the checkpoint may build; their code is run.
    """
    from safetensors.torch import save

    if out.suffix != ".safetensors":
        raise ValueError(f"`out` is '{out}'; expected a name that ends in .safetensors.")
    state = (
        load_model(checkpoint, trust or []).state_dict() if with_frozen else read_checkpoint(checkpoint)["state_dict"]
    )
    write_bytes(out, save({key: tensor.contiguous() for key, tensor in state.items()}))
    say(f"{len(state)} tensors, {out.stat().st_size} bytes: {out}")
