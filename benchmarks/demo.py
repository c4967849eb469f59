"""Wall time and memory of the demo, and the evaluation that it ends with.

    python benchmarks/demo.py                in temporary folders, with what is installed
    python benchmarks/demo.py make demo      any command; in a fresh clone, setup included

Memory is the largest sum over the whole tree of processes: resident sizes, in which pages that several processes share
count several times, and proportional sizes, in which they count once.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PERIOD = 0.25  # seconds between two looks


def children(root: int) -> list[int]:
    """Return the running processes of the tree under `root`, itself included."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            # The name of a program may hold spaces and brackets; what follows its last bracket does not.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    tree = [root]
    for process in tree:
        tree += [child for child, parent in parents.items() if parent == process]
    return tree


def memory(process: int) -> tuple[int, int]:
    """Return resident and proportional memory of a process in kB; 0 if it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0
    resident, proportional = (re.search(rf"^{name}:\s+(\d+)", text, re.M) for name in ("Rss", "Pss"))
    return int(resident[1]) if resident else 0, int(proportional[1]) if proportional else 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = [sys.executable, "-m", "cvqa_models", "demo", "--run", f"{folder}/run", "--data", f"{folder}/data"]
        words = sys.argv[1:] or here
        started = time.perf_counter()
        process = subprocess.Popen(words)
        peaks = [0, 0]
        while process.poll() is None:
            sums = [sum(kinds) for kinds in zip(*map(memory, children(process.pid)), strict=True)]
            peaks = [max(pair) for pair in zip(peaks, sums, strict=True)]
            time.sleep(PERIOD)
        wall = time.perf_counter() - started
        evaluation = (Path("runs/demo") if sys.argv[1:] else Path(folder, "run")) / "evaluation.json"
        found = json.loads(evaluation.read_text()) if evaluation.is_file() else {}
    print(f"exit code {process.returncode}, {wall:.0f} s; to reach: 480 s")
    print(f"peak memory of all processes: {peaks[0] / 1e6:.2f} GB resident, {peaks[1] / 1e6:.2f} GB proportional; 4 GB")
    print(", ".join(f"{name} {found[name]:.3f}" for name in ("result", "srocc", "plcc", "krocc") if name in found))


if __name__ == "__main__":
    main()
