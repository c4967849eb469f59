"""`cvqa fetch`: download the weights that configurations need."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.ending import MISTAKE
from cvqa_models.messages import say
from cvqa_models.shipped import find_config


def fetch(names: list[str] | None = None, /, *, config: list[Path] | None = None) -> int:
    """Fetch all weights that configurations need, and print where they are; missing ones are named at the end.

    `cvqa fetch --config flagship` prepares `cvqa fit --config flagship`, which downloads nothing itself.

    Args:
        names: Published weights, as `cvqa systems` names them.
        config: Configurations of systems, or names of shipped ones.

    Returns:
        Exit code: 2 if something is missing.

    Examples:
        cvqa fetch --config flagship
    """
    if not names and not config:
        raise ValueError("Nothing to fetch; give names of weights, or `--config`.")
    files = [find_config(file) for file in config or []]
    from cvqa_models.inference.fetch import fetch_weights  # torch is slow to import

    found = fetch_weights(files, names or [])
    for name, path in found.items():
        if isinstance(path, Path):
            say(f"{name}: {path}")
    missing = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    for name, reason in missing.items():
        say(f"missing {name}: {reason}", stderr=True)
    return MISTAKE if missing else 0
