"""`cvqa config`: show the configurations that come with the project, to start from."""

from __future__ import annotations

import sys

from cvqa_models.messages import say
from cvqa_models.shipped import CONFIGS, find_config


def config(names: list[str] | None = None, /) -> None:
    """Print configurations that come with the project; without a name, list them.

    `cvqa config flagship > mine.yaml` gives a file to start from; `--config flagship.yaml` uses it unchanged.

    Args:
        names: Names with or without their folder, such as `flagship` or `tiny/flagship.yaml`.

    Examples:
        cvqa config
        cvqa config flagship > mine.yaml
    """
    for name in names or []:
        sys.stdout.write(find_config(name).read_text(encoding="utf-8"))
    if not names:
        for path in sorted(CONFIGS.rglob("*.yaml")):
            say(path.relative_to(CONFIGS).as_posix())
