"""Measured values as a branch: the columns of a metric table, served from the feature store."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.csv_table import read_csv
from cvqa_models.types import Demand
from cvqa_models.video.frames import KeyFrames
from cvqa_models.video.pixels import Resize
from cvqa_models.video.view import View


class Table(Branch):
    """One token per video: the values of some columns of a table, as `cvqa extract --from-table` stored them.

    The values cannot be computed from frames, so the view is the smallest there is and is never used.

    Args:
        path: The metric table; its content names the features in the store.
        columns: Names or patterns such as `NR *`; the order is the table's.
    """

    def __init__(self, path: str, *, columns: list[str]) -> None:
        self.columns = choose_columns(path, columns)
        super().__init__(View(KeyFrames(count=1), Resize(8, 8)), len(self.columns), frozen=True)
        content = Path(path).read_bytes() + "\n".join(self.columns).encode()
        self._key = f"Table-{hashlib.sha256(content).hexdigest()[:12]}"

    def tokens(self, x: Tensor) -> Tensor:
        """Refuse: values of a table are measured elsewhere.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"The features '{self._key}' are columns of a table and cannot be computed from frames; run `cvqa extract "
            "--from-table TABLE --columns ...` into the store of this run."
        )

    @property
    def demand(self) -> Demand:
        """Return the key of the table's features."""
        return Demand(self.view, self._key)


def choose_columns(path: str | Path, patterns: list[str]) -> list[str]:
    """Return the columns of a CSV that match a pattern, in the order of the table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the table is malformed, or a pattern matches nothing.
    """
    header = list(read_csv(path).columns)
    unmatched = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in header)]
    if unmatched:
        raise ValueError(
            f"'{path}' has no column that matches {unmatched[0]!r}; its header is {', '.join(header)[:200]}."
        )
    return [name for name in header if any(fnmatchcase(name, pattern) for pattern in patterns)]
