"""What reading a 60 s 1080p clip needs beyond a 10 s one: peak resident memory, each in a process of its own.

    python benchmarks/reading_memory.py [VIDEO]

Clips of the flagship's four views are dropped as they come, as `cvqa extract` does once a network has seen them.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path

from clips import hd_clip
from one_decode import VIEWS

from cvqa_models.video.reader import iter_clips

FLAGSHIP = VIEWS[:4]


def peak_mb(path: Path) -> float:
    """Return the peak resident memory of this process in MB after reading `path`."""
    for _ in iter_clips(path, FLAGSHIP):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    source = sys.argv[1] if len(sys.argv) > 1 else None
    spawn = multiprocessing.get_context("spawn")
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (10, 60):
            path = hd_clip(Path(folder) / f"{seconds}.mp4", seconds, source)
            with spawn.Pool(1) as pool:
                peaks[seconds] = pool.apply(peak_mb, (path,))
    print(f"peak resident memory: 10 s {peaks[10]:.0f} MB, 60 s {peaks[60]:.0f} MB, +{peaks[60] - peaks[10]:.0f} MB")


if __name__ == "__main__":
    main()
