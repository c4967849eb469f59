"""`cvqa average`: the mean of several checkpoints' weights."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.files import check_there
from cvqa_models.messages import say


def average(checkpoints: list[Path], /, *, out: Path) -> None:
    """Write a checkpoint with the mean weights of several, such as seeds or epochs of one configuration.

    `cvqa average runs/*/checkpoints/best.ckpt --out mean.ckpt`, then `cvqa predict --ckpt_path mean.ckpt`.

    Args:
        checkpoints: Two or more checkpoints of `cvqa fit`.
        out: File to write.

    Examples:
        cvqa average runs/*/checkpoints/best.ckpt --out mean.ckpt
    """
    check_there("checkpoint", *checkpoints)
    from cvqa_models.training import average as library  # torch is slow to import

    library.average(checkpoints, out)
    say(f"mean of {len(checkpoints)} checkpoints: {out}")
