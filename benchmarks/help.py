"""Wall time of `cvqa --help` in a new process, median of 5.

python benchmarks/help.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def main() -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cvqa_models", "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - started)
    print(f"cvqa --help: {statistics.median(seconds):.2f} s; to reach: 1 s")


if __name__ == "__main__":
    main()
