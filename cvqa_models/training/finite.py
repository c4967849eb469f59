"""Find scores, losses and gradients that are not finite, and report the step or video, with what to try."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cvqa_models.types import Batch

WAYS_OUT = (
    "lower the learning rates of `model.recipe`, set `trainer.gradient_clip_val`, or train with `trainer.precision: "
    "32-true`"
)


def check_scores(scores: Tensor, batch: Batch) -> None:
    """Raise a ValueError that names the first video whose score is not finite.

    Args:
        scores: Predicted scores, shape (B,).
        batch: Their videos.
    """
    bad = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    if bad:
        raise ValueError(
            f"The score of {batch.video_id[bad[0]]!r} is {scores[bad[0]].item()} ({len(bad)} of {len(batch)} videos "
            "that were scored together): the model's weights hold such numbers, or its arithmetic overflows; take "
            f"another checkpoint, or {WAYS_OUT}."
        )


def describe_loss(loss: Tensor, scores: Tensor, batch: Batch, step: int) -> str:
    """Return a sentence about a loss that is not finite: the step, the group, and what to try.

    Args:
        loss: The loss, a scalar.
        scores: Scores of the batch, shape (B,), to find the groups where they are not finite.
        batch: The videos of the step.
        step: Number of optimiser steps so far.
    """
    bad = (~torch.isfinite(scores)).nonzero().flatten().tolist()
    groups = list(dict.fromkeys(batch.group_name[row] for row in bad or range(len(batch))))
    where = f"group {groups[0]!r}" if len(groups) == 1 else f"{len(groups)} groups (first: {groups[0]!r})"
    scored = f"{len(bad)} of its {len(batch)} videos have no finite score" if bad else "its scores are finite"
    return (
        f"The loss of step {step} is {loss.item()} in {where}, where {scored}; {WAYS_OUT}, and go on from a checkpoint."
    )


def check_gradients(parameters: Iterable[tuple[str, nn.Parameter]], step: int) -> None:
    """Raise a ValueError that names the first parameter whose gradient is not finite: the step would ruin the model.

    Args:
        parameters: Names and parameters; of sharded ones, this process checks only its own shards.
        step: Number of optimiser steps so far.
    """
    gradients = {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}
    local = [grad.to_local() if hasattr(grad, "to_local") else grad for grad in gradients.values()]
    # The sum of squares can overflow for a finite gradient; the largest element cannot.
    if not local or torch.nn.utils.get_total_norm(local, norm_type=torch.inf).isfinite():
        return
    name = next(name for name, grad in zip(gradients, local, strict=True) if not grad.isfinite().all())
    raise ValueError(f"The gradient of `{name}` is not finite at step {step}; {WAYS_OUT}, and go on from a checkpoint.")
