"""VMAF v0.6.1 and VMAF v1 against people, on frames of streaming ladders: which is the better teacher of the level?

    python benchmarks/vmaf_teachers.py data/people/manifest.csv [--height 1080]

The manifest is what `cvqa import avt ... --videos` writes. The sources are not at hand, so in each (test, source) the
frame that people liked most, of those with the most lines, stands for its source, and is left out. All frames are shown
at one height, as a player shows them. Some frames of fast scenes are not of one instant; a group in which no frame
reaches a VMAF of 60 is left out. Printed: Spearman's and Pearson's correlation with people, the mean over groups
of one source in one codec, for both, for their mean, and for the encoded height, on the same frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from compression_level import plcc, srocc

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.jobs import run_jobs

MODELS = {"vmaf v0.6.1": "vmaf_v0.6.1", "vmaf v1": "vmaf_v1.0.16_3d0h"}
SAME = 60


def measure(frame: Path, source: Path, height: int) -> dict[str, float]:
    shown = f"scale=-2:{height}:flags=bicubic,format=yuv420p"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "vmaf.json")
        models = "|".join(f"version={model}\\\\:name={model}" for model in MODELS.values())
        vmaf = f"libvmaf=n_threads=1:log_fmt=json:log_path={log}:model={models}"
        graph = f"[0:v]{shown}[a];[1:v]{shown}[b];[a][b]{vmaf}"
        ffmpeg.run(["-i", frame, "-i", source, "-lavfi", graph, "-f", "null", "-"])
        pooled = json.loads(log.read_text())["pooled_metrics"]
    return {name: pooled[model]["mean"] for name, model in MODELS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    table = pd.read_csv(arguments.manifest)
    table["set"] = table["group"].str.rpartition("/")[0]
    # The most lines first, then people's favourite.
    best = table.sort_values(["video_height", "mos"]).groupby("set").tail(1).set_index("set")["path"]
    folder = arguments.manifest.parent
    jobs = {
        row.video_id: partial(measure, folder / row.path, folder / best[row.set], arguments.height)
        for row in table.itertuples()
        if row.path != best[row.set]
    }
    made, failures = run_jobs(jobs, "Measuring VMAF", arguments.workers)
    for name, message in failures.items():
        print(f"failed: {name}: {message}")
    rows = table[table["video_id"].isin(made)].copy()
    for name in MODELS:
        rows[name] = [made[video_id][name] for video_id in rows["video_id"]]
    rows["their mean"] = rows[[*MODELS]].mean(axis=1)
    rows["height"] = rows["video_height"]
    groups = [one for _, one in rows.groupby("group") if len(one) >= 6 and one[[*MODELS]].max().min() >= SAME]
    print(f"{sum(map(len, groups))} frames in {len(groups)} groups")
    for name in (*MODELS, "their mean", "height"):
        found = [(srocc(one[name], one["mos"]), plcc(one[name], one["mos"])) for one in groups]
        mean, linear = np.mean(found, axis=0)
        print(f"{name}: SROCC {mean:.4f} (worst group {min(found)[0]:.3f}), PLCC {linear:.4f}")


if __name__ == "__main__":
    main()
