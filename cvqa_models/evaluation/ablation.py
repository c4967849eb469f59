"""Variants that show the share of each branch: the model without it, and a model with only this branch."""

from __future__ import annotations

from collections.abc import Collection

WHOLE = "all branches"


def ablation(branches: Collection[str]) -> dict[str, dict[str, list[str]]]:
    """Return the variants that show how much each branch of a `MultiBranch` improves it, for `crossval` or `sweep`.

    Args:
        branches: Names of its branches.

    Returns:
        Name of a variant -> values by their command-line name. The first is the whole model; then come the model
        without each branch, and each branch alone. Of two branches, one alone is the model without the other.

    Raises:
        ValueError: If there are fewer than two branches.
    """
    names = list(branches)
    if len(names) < 2:
        raise ValueError(f"An ablation needs two branches or more, and there are {len(names)}; add one to `branches`.")
    without = {f"without {name}": [name] for name in names} if len(names) > 2 else {}
    alone = {f"{name} alone": [other for other in names if other != name] for name in names}
    return {WHOLE: {}, **{variant: {"model.drop": drop} for variant, drop in {**without, **alone}.items()}}
