"""The time of the shipped compression level against a bare decode, on a 10 s 1080p clip: CPU seconds on one thread.

    python benchmarks/score_speed.py [VIDEO]

The clip is VIDEO, looped and enlarged to 1920x1080, or a synthetic one, as H.264 at 2 Mb/s. A bare decode reads every
frame and converts none. The score is all that `cvqa score` does with a file once its model is loaded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from clips import hd_clip
from one_decode import seconds

from cvqa_models.commands.score import score_video
from cvqa_models.commands.timeline import read_timeline
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.video.reader import ReadOptions, check_video


def main() -> None:
    torch.set_num_threads(1)
    model, options = shipped_model(), ReadOptions()
    with tempfile.TemporaryDirectory() as folder:
        clip = hd_clip(Path(folder) / "h264.mp4", 10, sys.argv[1] if len(sys.argv) > 1 else None)
        bare = seconds(lambda: check_video(clip))
        score = seconds(lambda: score_video(model, clip, options))
        timeline = seconds(lambda: read_timeline(model, clip, options))
    print(
        f"bare decode {bare:.2f} s; score {score:.2f} s ({score / bare:.2f} x bare); "
        f"with a timeline {timeline:.2f} s ({timeline / bare:.2f} x bare)"
    )


if __name__ == "__main__":
    main()
