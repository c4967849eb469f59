"""Choose references as the challenge's organisers did: from clusters of spatial and temporal complexity."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from functools import partial
from os.path import relpath
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.vq import kmeans2

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.folder import write_csv
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.data.videos import by_stem, index_videos
from cvqa_models.files import write_bytes
from cvqa_models.messages import printable
from cvqa_models.tables import read_csv
from cvqa_models.video.reader import check_video

_GOP = 30
# The paper does not give the encoder's settings, and the values depend on them. So they are fixed here: constant
# quantiser, key frames at regular times, no B frames, and no text of the encoder about itself in the first packet.
_PROBE = ["-c:v", "libx264", "-preset", "veryfast", "-qp", "24", "-bf", "0", "-g", str(_GOP), "-sc_threshold", "0"]
_PROBE += ["-pix_fmt", "yuv420p", "-threads", "1", "-bsf:v", "filter_units=remove_types=6"]


def complexity(video: Path) -> tuple[float, float]:
    """Return a clip's spatial and temporal complexity.

    Spatial complexity is the mean size of x264's I frames, divided by the size of an uncompressed frame. Temporal
    complexity is the mean size of its P frames, divided by that of its I frames (AIM 2024 challenge, data set section).

    Args:
        video: Clip.

    Raises:
        FileNotFoundError: If the clip does not exist.
        ValueError: If it cannot be read, is damaged, or has fewer than two frames.
    """
    facts = ffmpeg.inspect(video)
    check_video(video)
    if len(facts.times) < 2:
        raise ValueError(f"'{video}' has one frame; motion needs two or more.")
    crop = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2"]
    with tempfile.TemporaryDirectory(prefix="cvqa-", ignore_cleanup_errors=True) as folder:
        packets = ffmpeg.write(["-i", video, *ffmpeg.LARGEST_VIDEO, *crop, *_PROBE], Path(folder) / "probe.mp4")
    sizes = np.array(packets, dtype=float)
    is_key = np.arange(len(sizes)) % _GOP == 0
    intra, inter = sizes[is_key].mean(), sizes[~is_key].mean()
    return float(intra / (facts.width * facts.height * 1.5)), float(inter / intra)


def select_references(
    videos: Path, out: Path, *, clusters: int, candidates: int = 3, seed: int = 0, workers: int | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Write a table of clips with their clusters, some clips chosen, and a scatter plot of the same name.

    Args:
        videos: Folder of clips, searched at any depth.
        out: Table to write, with paths relative to its folder; the plot lies beside it, with `.png`.
        clusters: Number of clusters.
        candidates: Number of clips to choose in each cluster, the nearest to its centre first.
        seed: Seed of the clustering.
        workers: Clips at a time; one per processor by default.

    Returns:
        The table, in which `chosen` marks clips, and name -> message of each unreadable clip.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If no clip can be read, or there are fewer clips than clusters.
    """
    table, failures = measure_complexity(index_videos(videos), workers)
    if table.empty:
        raise ValueError("No clip could be read: " + "; ".join(failures.values()))
    table = choose(table, clusters, candidates, seed)
    table["path"] = [relpath(path, out.parent) for path in table["path"]]
    write_csv(out, table.sort_values(["cluster", "rank"]))
    scatter(table, out.with_suffix(".png"))
    return table, failures


def measure_complexity(videos: Mapping[str, Path], workers: int | None = None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a table `video_id`, `path`, `spatial`, `temporal`, and name -> message of each unreadable clip."""
    jobs = {name: partial(complexity, path) for name, path in videos.items()}
    values, failures = run_jobs(jobs, "Measuring complexity", workers)
    rows = [(name, str(videos[name]), *value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["video_id", "path", "spatial", "temporal"]), failures


def choose(table: pd.DataFrame, clusters: int, candidates: int, seed: int = 0) -> pd.DataFrame:
    """Return the table with `cluster`, `rank` by distance from its centre, and `chosen` for the nearest `candidates`.

    Both axes are standardised before K-means, because their scales do not compare.

    Args:
        table: Table as from `measure_complexity`.
        clusters: Number of clusters.
        candidates: Number of clips to choose in each.
        seed: Seed of the first centres.

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
    """Return name -> file of the clips that a selection marks as `chosen`; relative paths start at its folder.

    Args:
        selection: CSV with `path` and `chosen`, as `cvqa build select` writes it.

    Raises:
        ValueError: If it is malformed, marks no clip, or two chosen clips have the same stem.
    """
    table = read_csv(selection, ["path", "chosen"])
    marks = table["chosen"].str.lower()
    if strange := sorted(set(marks) - {"true", "false"}):
        raise ValueError(f"'{selection}': `chosen` is '{strange[0]}'; expected True or False.")
    if not (marks == "true").any():
        raise ValueError(f"'{selection}' marks no clip as `chosen`; write True into some rows.")
    return by_stem(selection.parent / path for path in table.loc[marks == "true", "path"])


def scatter(table: pd.DataFrame, path: Path) -> None:
    """Write a PNG scatter plot of the clips by the two measures, coloured by cluster, with the names of chosen clips.

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
