"""Read YAML as plain values; every error of the reader becomes one sentence."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

# Besides its own error, the reader passes on Python's errors for a wrong date, number or tag.
_REFUSED = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def load(path: Path) -> Any:
    """Return what a file of YAML in UTF-8 holds: lists and tables of numbers, words and dates.

    Raises:
        ValueError: If it is not YAML, holds objects, or gives a name twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        refuse_repeats(text)
        return yaml.safe_load(text)
    except _REFUSED as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"'{path}' is not YAML: {reason}.") from error


def refuse_repeats(text: str) -> None:
    """Check that no table gives a name twice: a YAML reader would silently take the last value.

    Raises:
        yaml.YAMLError: If one does, with the line; or if the text is not YAML.
    """
    waiting, seen = [yaml.compose(text, yaml.SafeLoader)], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an anchor may contain itself
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and names[key.value] > 1 and key.value != "<<":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"`{key.value}` stands twice in one table, first in line {key.start_mark.line + 1}"
                    )
                waiting.append(value)
