"""A data set without groups on two processes: each its own videos, all of them once, also after a resume on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

EVERYTHING = {f"p{i}" for i in range(1800)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return, by run, what each rank noted."""
    folder = tmp_path_factory.mktemp("items")
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("items_worker.py")), str(folder)],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        found.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text()))
    return found


def videos(rank: dict[str, Any], epoch: int, steps: int | None = None) -> Counter[str]:
    return Counter(name for own, names in rank["seen"][:steps] for name in names if own == epoch)


def test_two_ranks_share_every_video_once_per_epoch(runs: dict[str, list[dict[str, Any]]]) -> None:
    first, second = runs["two"]
    for epoch in (0, 1):
        seen = videos(first, epoch), videos(second, epoch)
        assert set(seen[0]) | set(seen[1]) == EVERYTHING
        # 75 items for 76 places: one comes twice.
        assert (sum(seen[0].values()), sum(seen[1].values())) == (912, 912)
        assert len(set(seen[0]) & set(seen[1])) == 24
    assert videos(first, 0) != videos(first, 1)


@pytest.mark.parametrize(("name", "before", "steps"), [("two-then-one", "two", 15), ("one-then-two", "one", 30)])
def test_the_rest_of_an_epoch_goes_to_another_number_of_ranks(
    name: str, before: str, steps: int, runs: dict[str, list[dict[str, Any]]]
) -> None:
    seen = sum((videos(rank, 0, steps) for rank in runs[before]), Counter())
    assert len(seen) == sum(seen.values()) == 24 * steps * len(runs[before])
    rest = sum((videos(rank, 0) for rank in runs[name]), Counter())
    assert set(seen) | set(rest) == EVERYTHING
    repeated = sum(rest.values()) + sum(seen.values()) - 1800
    assert repeated == (24 if name == "one-then-two" else 0)  # 45 items left for two ranks
    assert sum((videos(rank, 1) for rank in runs[name]), Counter()).keys() == EVERYTHING
    assert [rank["validated"] for rank in runs[name]] == [2] * len(runs[name]), "after each of the two epochs"
