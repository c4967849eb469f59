"""Seconds of `cvqa evaluate --table` on every metric of the CVQAD table, intervals off, after imports.

python benchmarks/evaluate_table.py PATH/Metric_scores_example.csv
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from cvqa_models.commands.evaluate import evaluate


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("Give CVQAD's table: python benchmarks/evaluate_table.py data/cvqad/Metric_scores_example.csv")
    table = Path(sys.argv[1])
    wall, processor = [], []
    for _ in range(5):
        started = time.perf_counter(), time.process_time()
        rows = evaluate(table=table, bootstrap=0)["rows"]
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    videos = next(iter(rows.values()))["videos"]
    print(
        f"{videos} videos x {len(rows)} columns: median {statistics.median(wall):.2f} s "
        f"({statistics.median(processor):.2f} s of processor time); to reach: 0.5 s"
    )


if __name__ == "__main__":
    main()
