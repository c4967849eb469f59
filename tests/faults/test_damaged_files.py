"""Damaged files by the hundred: never a traceback, `score` refuses none that `check` passes, and takes of those that it
names only what it sees whole.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from cvqa_models.data.workers import Died, run_each
from tests.faults.mutations import Outcome, damaged, judge, make_sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("damaged")
    make_sources(made)
    return made


def test_whole_files_pass(folder: Path) -> None:
    for path in sorted(folder.glob("*.*")):
        outcome = judge(path)
        assert (outcome.named, outcome.refused, outcome.escaped, outcome.complaint) == ("", "", "", ""), path.name


def test_a_few_damaged_files(folder: Path) -> None:
    outcomes = {path: judge(path) for path in damaged(folder, 40)}
    assert not [outcome.escaped for outcome in outcomes.values() if outcome.escaped]
    assert not [path for path, outcome in outcomes.items() if bool(outcome.named) != bool(outcome.refused)]
    assert all(path.name in outcome.named for path, outcome in outcomes.items() if outcome.named)
    assert not [outcome for outcome in outcomes.values() if outcome.complaint and not outcome.named]


@pytest.mark.faults
def test_many_damaged_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CVQA_FAULTS says how many, 2000 if it is not set."""
    paths = list(damaged(folder, int(os.environ.get("CVQA_FAULTS", "2000"))))
    counts: Counter[str] = Counter()
    unnamed = []
    for position, outcome in run_each(judge, paths, 1):
        kinds = [f"died ({outcome})"] if isinstance(outcome, Died) else kinds_of(outcome)
        counts.update(kinds)
        if "ffmpeg complains, check passes" in kinds:
            unnamed.append(f"{paths[position].name}: {outcome.complaint[:150]}")  # type: ignore[union-attr]
    with capsys.disabled():
        print(
            f"\n{len(paths)} damaged files:",
            *(f"{kind}: {count}" for kind, count in sorted(counts.items())),
            sep="\n  ",
        )
        print(*unnamed, sep="\n  ")
    fatal = [kind for kind in counts if kind.startswith(("died", "traceback", "over", "only score"))]
    assert not fatal
    # Streams that may begin anywhere: what is damaged before their first picture looks like what refers to nothing.
    assert not [line for line in unnamed if Path(line.partition(":")[0]).suffix not in (".mpg", ".ts")]


def kinds_of(outcome: Outcome) -> list[str]:
    """Return every count that an outcome belongs to."""
    kinds = {
        "traceback": outcome.escaped,
        "over 2 GB": outcome.megabytes > 2048,
        "named by check": outcome.named,
        "only check names it": outcome.named and not outcome.refused,
        "only score refuses it": outcome.refused and not outcome.named,
        "ffmpeg complains": outcome.complaint,
        "ffmpeg complains, check passes": outcome.complaint and not outcome.named,
        "check names it, ffmpeg says nothing": outcome.named and not outcome.complaint,
    }
    return [kind for kind, so in kinds.items() if so]
