"""Bulk scoring with the shipped level against a bare decode, by processes and threads: CPU seconds a file.

    python benchmarks/bulk_score.py [VIDEO]

The files are 12 copies of one clip of 10 s at 1080p, H.264 of 2 Mb/s with a key frame each second: VIDEO, looped and
enlarged, or a synthetic one. A bare decode reads every frame on one thread and converts none. A process counts from its
first video on; what it imports before is imported once for all, and told apart.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from clips import hd_clip
from one_decode import seconds

from cvqa_models.data.rows import Row, read_rows
from cvqa_models.inference.bulk import Job, made_by, run_bulk
from cvqa_models.models.shipped_level import SHIPPED
from cvqa_models.video.reader import check_video

FILES = 12


class Timed(Job):
    """A job that tells the processor time of its process so far."""

    def __call__(self, video: tuple[str, str]) -> Row:
        row = super().__call__(video)
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return {**row, "process": os.getpid(), "cpu": time.process_time(), "megabytes": int(peak.split()[1]) >> 10}


def main() -> None:
    job = Timed(SHIPPED)
    by = made_by(job.scorer(), job.device)
    print(f"start of Python, imports and model: {time.process_time():.1f} s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = hd_clip(folder / "clip.mp4", 10, sys.argv[1] if len(sys.argv) > 1 else None, group=30)
        videos = {f"{n}.mp4": str(shutil.copy(clip, folder / f"{n}.mp4")) for n in range(FILES)}
        bare = seconds(lambda: check_video(clip))
        print(f"bare decode: {bare:.2f} s a file")
        scores = set()
        for workers, threads in ((1, 1), (1, 2), (2, 1), (2, 2)):
            out = folder / f"{workers}-{threads}.jsonl"
            run_bulk(replace(job, threads=threads), videos, out, by, workers=workers)
            rows = list(read_rows(out))
            scores |= {row["score"] for row in rows}
            last = {row["process"]: row["cpu"] for row in sorted(rows, key=lambda row: row["cpu"])}
            each = sum(last.values()) / FILES
            memory = max(row["megabytes"] for row in rows)
            print(
                f"{workers} processes of {threads} threads: {each:.2f} s a file, {each / bare:.2f} x bare, {memory} MB"
            )
        print(f"different scores: {len(scores)}")


if __name__ == "__main__":
    main()
