"""Measured values as a branch: the columns of a metric table, read from the feature store."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.tables import read_csv
from cvqa_models.types import Demand


class Table(Branch):
    """One token per video: the values of some columns of a table, as `cvqa extract --from-table` stored them.

    It decodes nothing: its input is these values from the store, which cannot be computed from frames.

    Args:
        path: The metric table; its content names the features in the store.
        columns: Names or patterns such as `NR *`; the order is the table's.
    """

    def __init__(self, path: str, *, columns: list[str]) -> None:
        self.columns = choose_columns(path, columns)
        super().__init__(None, len(self.columns), frozen=True)
        content = Path(path).read_bytes() + "\n".join(self.columns).encode()
        self._key = f"Table-{hashlib.sha256(content).hexdigest()[:12]}"

    def tokens(self, x: Tensor) -> Tensor:
        """Return the measured values `x`, shape (B, 1, D), as they are."""
        return x

    @property
    def demand(self) -> Demand:
        """Return the key of the table's features."""
        return Demand(None, self._key)


def choose_columns(path: str | Path, patterns: list[str]) -> list[str]:
    """Return the columns of a CSV that match a pattern, in the order of the table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is malformed, or a pattern matches no column.
    """
    header = list(read_csv(path).columns)
    unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in header)]
    if unmatched:
        raise ValueError(
            f"'{path}' has no column that matches {unmatched[0]!r}; its header is {', '.join(header)[:200]}."
        )
    return [name for name in header if any(fnmatchcase(name, pattern) for pattern in patterns)]
