"""Draw `encoders-rates.png` and `encoders-sources.png`: three encoders on real clips, by the compression level.

python docs/pictures/encoders.py CLIP...

The figures in the documentation are of three clips, two seconds each, at 360 lines and five fixed qualities.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import cvqa_models
from cvqa_models.corpus import ffmpeg

ENCODERS = {
    "x264": ["-c:v", "libx264", "-preset", "veryfast"],
    "x265": ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"],
    "svt-av1": ["-c:v", "libsvtav1", "-preset", "10"],
}
CRFS = {"x264": (20, 26, 32, 38, 44), "x265": (20, 26, 32, 38, 44), "svt-av1": (32, 40, 48, 55, 62)}


def main() -> None:
    """Encode the clips, compare, keep the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for clip in map(Path, sys.argv[1:]):
            for name, options in ENCODERS.items():
                for crf in CRFS[name]:
                    target = Path(folder) / "encodes" / clip.stem / name / f"{crf}.mp4"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = ["-t", "2", "-i", clip, "-an", "-vf", "scale=-2:360"]
                    ffmpeg.write([*source, *options, "-crf", str(crf)], target)
        scorer = cvqa_models.load("compression_level", device="cpu")
        encodes = Path(folder) / "encodes"
        found = cvqa_models.compare(encodes, anchor="x264", scorer=scorer, name="compression_level")
        cvqa_models.write_comparison(found, folder)
        for kind in ("rates", "sources"):
            shutil.copy(Path(folder) / f"score-{kind}.png", Path(__file__).with_name(f"encoders-{kind}.png"))
    for one in found.means:
        print(one)


if __name__ == "__main__":
    main()
