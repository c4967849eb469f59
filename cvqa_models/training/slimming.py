"""Leave out of checkpoints the weights that training does not change and that lie in their own files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cvqa_models.branches.base import Branch


def leave_out(checkpoint: dict[str, Any], branches: Mapping[str, Branch]) -> None:
    """Remove weights that lie in files from a checkpoint, and store their digests, so that loading can compare them."""
    slim = {name: branch for name, branch in branches.items() if branch.lies_in_files}
    checkpoint["frozen_digests"] = {name: branch.fixed_digest() for name, branch in slim.items()}
    for state in _states(checkpoint):
        for name, branch in slim.items():
            for key in branch.fixed_keys():
                state.pop(f"branches.{name}.{key}", None)


def put_back(checkpoint: dict[str, Any], branches: Mapping[str, Branch]) -> None:
    """Add the fixed weights of the branches, which a checkpoint left out.

    Raises:
        ValueError: If the checkpoint was made with other weights.
    """
    stored = checkpoint.get("frozen_digests", {})
    for name, branch in branches.items():
        keys = branch.fixed_keys()
        if name not in stored or not (branch.frozen or keys):
            continue
        found = branch.fixed_digest()
        if stored[name] != found:
            raise ValueError(
                f"The checkpoint was trained with other frozen weights of branch `{name}` (digest "
                f"{str(stored[name])[:12]}, here {found[:12]}); give the weights it was made with."
            )
        own = branch.state_dict()
        for state in _states(checkpoint):
            state.update({f"branches.{name}.{key}": own[key] for key in keys})


def _states(checkpoint: dict[str, Any]) -> list[dict[str, Tensor]]:
    """Return the state dicts of a checkpoint: the weights and, if these are averaged, also the current ones."""
    return [checkpoint[key] for key in ("state_dict", "current_model_state") if key in checkpoint]
