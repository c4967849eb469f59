"""The time of the shipped compression level against a bare decode of whole files: CPU seconds on one thread.

    python benchmarks/score_speed.py [VIDEO]

The clips are VIDEO, looped and enlarged to 1920x1080, or a synthetic one, as H.264 at 2 Mb/s: 10 s with key frames
where x264 puts them, 10 s with one each second, and 60 s of these. A bare decode reads every frame and converts none.
The score is all that `cvqa score` does with a file once its model is loaded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from clips import hd_clip, repeated
from one_decode import seconds

from cvqa_models.inference.load import load
from cvqa_models.video.reader import check_video


def main() -> None:
    torch.set_num_threads(1)
    scorer = load(device="cpu")
    source = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        second = hd_clip(Path(folder) / "second.mp4", 10, source, group=30)
        clips = {
            "10 s, usual groups": hd_clip(Path(folder) / "usual.mp4", 10, source),
            "10 s, groups of 1 s": second,
            "60 s, groups of 1 s": repeated(second, Path(folder) / "long.mp4", 6),
        }
        scorer(second)  # what is built at the first call
        for name, clip in clips.items():
            bare = seconds(lambda clip=clip: check_video(clip))
            score = seconds(lambda clip=clip: scorer(clip))
            timeline = seconds(lambda clip=clip: scorer(clip, seconds=True))
            print(
                f"{name}: bare decode {bare:.2f} s; score {score:.2f} s ({score / bare:.2f} x bare); "
                f"with a timeline {timeline:.2f} s ({timeline / bare:.2f} x bare)"
            )


if __name__ == "__main__":
    main()
