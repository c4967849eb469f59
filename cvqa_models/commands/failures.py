"""End a command of which some items failed: good results are kept, and the failures are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.text import Text

from cvqa_models.ending import MISTAKE
from cvqa_models.files import write_json
from cvqa_models.messages import console, printable


def finish(failures: Mapping[str, str], result: dict[str, object], json: Path | None) -> int:
    """Write the result, list the failures, and return the exit code."""
    if json is not None:
        write_json(json, {**result, "failures": dict(failures)})
    for name, message in failures.items():
        words = Text.assemble(("failed", "red"), f" {printable(f'{name}: {message}')}")
        console(stderr=True).print(words, soft_wrap=True)
    return MISTAKE if failures else 0
