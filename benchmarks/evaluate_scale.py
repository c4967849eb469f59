"""Processor time and memory of `cvqa evaluate` on a long table, and of `cvqa import`, after imports of modules.

    python benchmarks/evaluate_scale.py [ROWS] [GROUPS]

ROWS rows (1,000,000) in GROUPS groups (55,555): a label table and a file of predictions, made up from a seed. Each
command runs in a process of its own; what modules cost is measured on a table of two groups and taken off.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def make(folder: Path, count: int, groups: int) -> None:
    """Write labels.csv and predictions.csv."""
    rng = np.random.default_rng(0)
    mos = rng.normal(size=count)
    score = mos + rng.normal(size=count)
    order = rng.permutation(count)
    names = [f"x265_fast_{number % groups:05d}_{number}" for number in range(count)]
    with (folder / "labels.csv").open("w") as file:
        file.write("video_id,reference,group,preset,bitrate_kbps,mos\n")
        file.writelines(
            f"{names[n]},source{n % groups},source{n % groups}/fast,fast,{1000 + n % 977},{mos[n]:.6f}\n"
            for n in range(count)
        )
    with (folder / "predictions.csv").open("w") as file:
        file.write("video_id,score\n")
        file.writelines(f"{names[n]},{score[n]:.6f}\n" for n in order.tolist())


def cost(*words: str) -> tuple[float, float]:
    """Return the processor seconds and the megabytes of a command, which must succeed."""
    process = subprocess.Popen([sys.executable, "-m", "cvqa_models", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"`cvqa {' '.join(words)}` failed with {status}.")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    count, groups = map(int, (*sys.argv[1:], *("1000000", "55555")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as name:
        large, small = Path(name, "large"), Path(name, "small")
        for folder, size, sets in ((large, count, groups), (small, 40, 2)):
            folder.mkdir()
            make(folder, size, sets)

        def words_of(folder: Path) -> dict[str, list[str]]:
            labels, predictions = str(folder / "labels.csv"), str(folder / "predictions.csv")
            return {
                "evaluate": ["evaluate", "--scores", labels, "--predictions", predictions, "--bootstrap", "0"],
                "import": ["import", "csv", labels, "--out", str(folder / "manifest.csv")],
            }

        for command, words in words_of(large).items():
            (seconds, memory), (start, base) = cost(*words), cost(*words_of(small)[command])
            print(
                f"{command}: {count} rows in {groups} groups: {seconds - start:.1f} CPU s after imports of "
                f"{start:.1f}, {memory:.0f} MB at most, of which modules {base:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
