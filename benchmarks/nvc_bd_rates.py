"""How far delta rates by each measure agree with those by people, on compressed 4K video (AVT-NVC).

python benchmarks/nvc_bd_rates.py RESULTS_JSON [OUT]

RESULTS_JSON is `results.json` of the data set: 216 encodes of six sources by AV1, VVC and two neural codecs, with mean
opinion scores. It prints a row per measure: the share of delta rates against AV1 whose sign agrees, their rank
correlation, and the mean error in log2 of a ratio of rates. OUT is a folder for the whole comparison.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

import cvqa_models

MEASURES = [
    "psnr", "ssim", "ms_ssim", "vmaf", "vmaf_neg", "dover", "fastvqa", "musiq", "qalign", "lpips", "cvqa-nr", "cvqa-fr",
]  # fmt: skip


def main() -> None:
    videos = pd.DataFrame(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    videos = videos.rename(columns={"name": "video_id", "source": "reference"})
    videos["bitrate_kbps"] = videos["bitrate"] / 1000
    with tempfile.TemporaryDirectory() as folder:
        manifest, scores = Path(folder) / "manifest.csv", Path(folder) / "scores.csv"
        videos[["video_id", "reference", "codec", "bitrate_kbps", "mos", "height"]].to_csv(manifest, index=False)
        videos[["video_id", *MEASURES]].to_csv(scores, index=False)
        result = cvqa_models.compare(manifest, anchor="AV1", scores=scores)
    print(f"{'measure':10} {'n':>3}  {'same sign':>18}  {'rank':>20}  {'error, log2':>18}")
    for one in result.agreements:
        cells = [(one.sign, one.sign_interval), (one.rank, one.rank_interval), (one.error, one.error_interval)]
        shown = [f"{value:6.2f} [{low:5.2f}, {high:5.2f}]" for value, (low, high) in cells]
        print(f"{one.score:10} {one.comparisons:3d}  {'  '.join(shown)}")
    print(*result.left_out, sep="\n")
    if len(sys.argv) > 2:
        print(cvqa_models.write_comparison(result, sys.argv[2]))


if __name__ == "__main__":
    main()
