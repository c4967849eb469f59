"""What the extraction of a 60 s 1080p clip needs beyond that of a 10 s one: peak memory, each in a process of its own.

    python benchmarks/reading_memory.py [VIDEO]

It is `cvqa extract`'s own work, with the flagship's four views at full size and small networks behind them. Their
weights and activations are the same for every length, so that what the clip itself takes stands out.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
from pathlib import Path

import torch
from clips import hd_clip
from one_decode import VIEWS

from cvqa_models.branches.base import Branch
from cvqa_models.branches.clip import Clip
from cvqa_models.branches.compression import Compression
from cvqa_models.branches.slowfast import SlowFast
from cvqa_models.branches.swin import Swin
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.inference.extract import extract_features
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions

FLAGSHIP = VIEWS[:4]
SECONDS = (10, 60)
SWIN = {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 2], "window_size": 12}
VISION = {"layers": 1, "width": 64, "head_width": 32}


def branches() -> dict[str, Branch]:
    """Return small frozen networks that see what the flagship's branches see."""
    torch.manual_seed(0)
    found = {
        "motion": SlowFast(pathway="both", depth=(1, 1, 1, 1), width=8, ratio=2, frozen=True),
        "technical": Swin("swin_tiny_patch4_window7_224", size=384, args=SWIN, frozen=True),
        "semantic": Clip(dim=16, vision=VISION, frozen=True),
        "compression": Compression(net_width=0.05, features=4, frozen=True),
    }
    assert [branch.view for branch in found.values()] == FLAGSHIP
    for branch in found.values():
        branch.freeze()
    return found


def peak_mb(path: Path) -> float:
    """Return the peak resident memory of this process in MB after extracting from `path`."""
    options = ReadOptions()
    record = VideoRecord(path.stem, str(path), "g", "r")
    with tempfile.TemporaryDirectory() as folder:
        done = extract_features(branches(), [record], FeatureStore(folder, options.key), options)
    assert done.written == 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    source = sys.argv[1] if len(sys.argv) > 1 else None
    spawn = multiprocessing.get_context("spawn")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in SECONDS:
            path = hd_clip(Path(folder) / f"{seconds}.mp4", seconds, source)
            with spawn.Pool(1) as pool:
                peaks.append(pool.apply(peak_mb, (path,)))
    shown = ", ".join(f"{seconds} s {peak:.0f} MB" for seconds, peak in zip(SECONDS, peaks, strict=True))
    print(f"peak resident memory of an extraction: {shown}, +{peaks[1] - peaks[0]:.0f} MB; to reach: 200 MB")


if __name__ == "__main__":
    main()
