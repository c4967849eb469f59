"""One pass for all branches against one pass per branch, and against a bare decode: CPU seconds of a 10 s 1080p clip.

    python benchmarks/one_decode.py [VIDEO]

The clip is VIDEO, looped and enlarged to 1920x1080, or a synthetic one; as H.264 at 2 Mb/s and as x265 lossless of the
same pictures. The branches are the flagship's four and three more of the field: fragments in 4 x 32 frames (FAST-VQA),
fragments in 20 x 2 (COVER) and 40 frames at 224 x 224 (COVER). One pass per branch is our own reader called once for
each, so that the ratio counts decodes alone, not the slower conversions of other tools.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

from clips import hd_clip, lossless_copy

from cvqa_models.video.frame_rules import Chunks, KeyFrames, UniformClips
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Crop, Fit, Resize
from cvqa_models.video.reader import check_video, read_views
from cvqa_models.video.view import View

VIEWS = [
    View(Chunks(8, 32), Resize(224, 224)),
    View(KeyFrames(8), Crop(384, short=384)),
    View(KeyFrames(8), Crop(224, short=224, kernel="bicubic")),
    View(Chunks(8, 5, fps=5), Fit(720, 1280, "bicubic")),
    View(UniformClips(4, 32, 2), Fragments()),
    View(UniformClips(20, 2, 2), Fragments()),
    View(UniformClips(20, 2, 2), Resize(224, 224)),
]
REPEATS = 3


def seconds(work: Callable[[], object]) -> float:
    """Return the median CPU time of `work`."""
    taken = []
    for _ in range(REPEATS):
        start = process_time()
        work()
        taken.append(process_time() - start)
    return statistics.median(taken)


def per_branch(path: Path) -> None:
    for view in VIEWS:
        read_views(path, [view])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lossy = hd_clip(Path(folder) / "h264.mp4", 10, sys.argv[1] if len(sys.argv) > 1 else None)
        for name, path in {"H.264": lossy, "x265 lossless": lossless_copy(lossy, Path(folder) / "hevc.mp4")}.items():
            bare = seconds(lambda path=path: check_video(path))
            once = seconds(lambda path=path: read_views(path, VIEWS))
            flagship = seconds(lambda path=path: read_views(path, VIEWS[:4]))
            each = seconds(lambda path=path: per_branch(path))
            print(
                f"{name}: bare decode {bare:.2f} s; all {len(VIEWS)} views in one pass {once:.2f} s "
                f"({once / bare:.2f} x bare); the flagship's 4 {flagship:.2f} s ({flagship / bare:.2f} x bare); "
                f"one pass per view {each:.2f} s ({each / once:.2f} x one pass)",
                flush=True,
            )


if __name__ == "__main__":
    main()
