"""YAML as plain values: whatever its reader raises over a file becomes one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# Beside its own error the reader lets through what Python says of a date, a number or a tag that is none.
_REFUSED = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def load(path: Path) -> Any:
    """Return what a file of YAML in UTF-8 holds: lists and tables of numbers, words and dates.

    Raises:
        ValueError: If it is no YAML, or holds objects.
    """
    try:
        return yaml.safe_load(path.read_bytes().decode("utf-8-sig"))
    except _REFUSED as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"'{path}' is not YAML: {reason}.") from error
