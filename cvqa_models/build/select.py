"""Choose references as the challenge's organisers did: by spatial and temporal complexity, in clusters."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.vq import kmeans2

from cvqa_models.build import ffmpeg
from cvqa_models.build.jobs import run_jobs
from cvqa_models.csv_table import read_csv
from cvqa_models.data.atomic import write_bytes
from cvqa_models.data.files import by_stem
from cvqa_models.mistakes import printable

_GOP = 30
# The paper leaves the encoder's settings open; values depend on them, so they are fixed: constant quantiser, key
# frames by the clock, no B frames, and no words of the encoder about itself in the first packet.
_PROBE = ["-c:v", "libx264", "-preset", "veryfast", "-qp", "24", "-bf", "0", "-g", str(_GOP), "-sc_threshold", "0"]
_PROBE += ["-pix_fmt", "yuv420p", "-threads", "1", "-bsf:v", "filter_units=remove_types=6"]


def complexity(video: Path) -> tuple[float, float]:
    """Return a clip's spatial and temporal complexity.

    Spatial is the mean size of x264's I frames over that of an uncompressed frame; temporal is the mean size of its P
    frames over that of its I frames (AIM 2024 challenge, data set section).

    Args:
        video: Clip.

    Raises:
        FileNotFoundError: If the clip does not exist.
        ValueError: If it cannot be read or has fewer than two frames.
    """
    facts = ffmpeg.inspect(video)
    if len(facts.times) < 2:
        raise ValueError(f"'{video}' has one frame; motion needs two or more.")
    crop = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2"]
    with tempfile.TemporaryDirectory(prefix="cvqa-", ignore_cleanup_errors=True) as folder:
        packets = ffmpeg.write(["-i", video, *ffmpeg.LARGEST_VIDEO, *crop, *_PROBE], Path(folder) / "probe.mp4")
    sizes = np.array(packets, dtype=float)
    is_key = np.arange(len(sizes)) % _GOP == 0
    intra, inter = sizes[is_key].mean(), sizes[~is_key].mean()
    return float(intra / (facts.width * facts.height * 1.5)), float(inter / intra)


def measure_complexity(videos: Mapping[str, Path], workers: int | None = None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a table `video_id`, `path`, `spatial`, `temporal`, and each unreadable clip's message by name."""
    jobs = {name: partial(complexity, path) for name, path in videos.items()}
    values, failures = run_jobs(jobs, "Measuring complexity", workers)
    rows = [(name, str(videos[name]), *value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["video_id", "path", "spatial", "temporal"]), failures


def choose(table: pd.DataFrame, clusters: int, candidates: int, seed: int = 0) -> pd.DataFrame:
    """Return the table with `cluster`, `rank` by distance from its centre, and `chosen` for the nearest `candidates`.

    Both axes are standardised before K-means, since their scales have nothing in common.

    Args:
        table: As from `measure_complexity`.
        clusters: Number of clusters.
        candidates: Clips to mark in each.
        seed: Of the first centres.

    Raises:
        ValueError: If there are fewer clips than clusters, or a number is not positive.
    """
    if clusters < 1 or candidates < 1:
        raise ValueError(f"`clusters` is {clusters} and `candidates` is {candidates}; both must be at least 1.")
    if len(table) < clusters:
        raise ValueError(f"{len(table)} clips cannot form {clusters} clusters; give more clips or ask for fewer.")
    points = table[["spatial", "temporal"]].to_numpy()
    points = (points - points.mean(0)) / np.maximum(points.std(0), 1e-12)
    centres, cluster = kmeans2(points, clusters, iter=100, minit="++", rng=np.random.default_rng(seed))
    distance = pd.Series(np.linalg.norm(points - centres[cluster], axis=1), index=table.index)
    rank = distance.groupby(cluster).rank(method="first").astype(int)
    return table.assign(cluster=cluster, rank=rank, chosen=rank <= candidates)


def chosen_clips(selection: Path) -> dict[str, Path]:
    """Return name -> file of the clips that a selection marks as `chosen`; relative paths count from its folder.

    Args:
        selection: CSV with `path` and `chosen`, as `cvqa build select` writes it.

    Raises:
        ValueError: If it is malformed, marks no clip, or two chosen clips have one stem.
    """
    table = read_csv(selection, ["path", "chosen"])
    marks = table["chosen"].str.lower()
    if strange := sorted(set(marks) - {"true", "false"}):
        raise ValueError(f"'{selection}': `chosen` is '{strange[0]}'; expected True or False.")
    if not (marks == "true").any():
        raise ValueError(f"'{selection}' marks no clip as `chosen`; write True into some rows.")
    return by_stem(selection.parent / path for path in table.loc[marks == "true", "path"])


def scatter(table: pd.DataFrame, path: Path) -> None:
    """Write a PNG of the clips on the plane of the two measures, coloured by cluster, the chosen ones named.

    Raises:
        ValueError: If the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(table["spatial"], table["temporal"], c=table["cluster"], cmap="tab20", s=18)
    chosen = table[table["chosen"]]
    axes.scatter(chosen["spatial"], chosen["temporal"], s=90, facecolors="none", edgecolors="black")
    for name, x, y in chosen[["video_id", "spatial", "temporal"]].itertuples(index=False):
        label = printable(str(name)[:44])
        axes.annotate(label, (x, y), fontsize=7, xytext=(4, 4), textcoords="offset points", parse_math=False)
    axes.set_xlabel("spatial complexity (I frame / uncompressed frame)")
    axes.set_ylabel("temporal complexity (P frame / I frame)")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
