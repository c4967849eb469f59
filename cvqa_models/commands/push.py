"""`cvqa push`: put a trained model into a repository of a model hub."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.files import check_there
from cvqa_models.messages import say


def push(checkpoint: Path, repo: str, /, *, private: bool = False, trust: list[str] | None = None) -> None:
    """Put the model of a checkpoint into a repository: safetensors, a configuration of plain values, and a card.

    `cvqa_models.load("hf:OWNER/NAME")` loads it from there. Log in with `hf auth login` first.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        repo: OWNER/NAME; a missing repository is made.
        private: Make a new repository private, so that only its owner can see it.
        trust: Your own packages whose classes the checkpoint may build; their code is run.

    Examples:
        cvqa push runs/mine/checkpoints/best.ckpt me/my-model --private
    """
    check_there("checkpoint", checkpoint)
    from cvqa_models.inference import hub_models  # torch is slow to import

    say(hub_models.push(checkpoint, repo, private=private, trust=trust or []))
