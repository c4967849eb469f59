"""`cvqa export`: write only the weights of a model, or a file for another runtime that gives the same scores."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvqa_models.files import check_there
from cvqa_models.messages import say


def export(
    model: Path,
    /,
    *,
    out: Path,
    format: Literal["safetensors", "onnx", "torch-export", "openvino"] = "safetensors",
    with_frozen: bool = False,
    int8: list[Path] | None = None,
    trust: list[str] | None = None,
) -> None:
    """Write a model for use elsewhere: only the weights of a checkpoint, or a folder for another runtime.

    If `out` ends in .safetensors, it holds the weights of a checkpoint without its optimiser, configuration and paths;
    any config may name the file as `weights` of a branch of the same kind. Otherwise `out` is a folder with the model's
    file, which takes pixels of any number of videos; with `view.json`, which describes every step from video to these
    pixels; and with a card. It is kept only if its scores differ from those of torch by at most 1e-4 of their scale,
    for a single video and at each place of a batch.

    Args:
        model: Checkpoint written by `train.py fit`; for a folder also the folder of a run, or what `load` takes, such
            as compression_level.
        out: File ending in .safetensors, or folder.
        format: Format of the model; onnx and openvino need the extra `export`.
        with_frozen: Whether to add the frozen weights, which the checkpoint does not hold, to a .safetensors file; it
            is then the whole model.
        int8: Videos: also write an ONNX file with 8-bit weights and activations, calibrated on these videos, and print
            the error of its scores on them.
        trust: Your own packages whose classes the checkpoint may build; their code is run.

    Examples:
        cvqa export runs/mine/checkpoints/best.ckpt --out mine.safetensors
    """
    if int8 and format != "onnx":
        raise ValueError(f"`--int8` goes with `--format onnx`, and this is {format}; leave one of them out.")
    if format == "safetensors" and out.suffix:
        check_there("checkpoint", model)
        from cvqa_models.inference import export as library  # torch is slow to import

        count = library.export(model, out, with_frozen=with_frozen, trust=trust or [])
        say(f"{count} tensors, {out.stat().st_size} bytes: {out}")
        return
    if with_frozen:
        raise ValueError("`--with-frozen` goes with a file that ends in .safetensors; a folder holds the whole model.")
    for video in int8 or []:
        check_there("video", video)
    from cvqa_models.inference.load import load
    from cvqa_models.inference.network_export import export_network

    loaded = load(model if model.exists() else str(model), device="cpu", trust=trust or []).model
    made = export_network(loaded, out, format=format, int8=int8 or [])
    say(
        f"scores differ from torch by {made.parity.difference:.2g}, between places in a batch by "
        f"{made.parity.position:.2g}; {made.parity.bound:.2g} is allowed"
    )
    if made.int8 is not None:
        say(
            f"8 bits: over {made.int8.videos} videos scores differ by {made.int8.mean:.3g} on average, "
            f"{made.int8.largest:.3g} at most"
        )
    say(f"{made.file.stat().st_size} bytes: {made.file}")
