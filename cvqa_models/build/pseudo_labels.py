"""VMAF and its kin against the source, as stand-ins for human scores; never a result about quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvqa_models.build import ffmpeg
from cvqa_models.build.bradley_terry import fit_table
from cvqa_models.build.files import read_card, scratch, write_json
from cvqa_models.build.jobs import run_jobs
from cvqa_models.build.votes import simulate_votes
from cvqa_models.data.feature_store import file_name

# Column -> (libvmaf feature, name of its value in the log); VMAF itself comes from the default model vmaf_v0.6.1.
FEATURES = {
    "psnr": ("psnr", "psnr_y"),
    "ssim": ("float_ssim", "float_ssim"),
    "ms_ssim": ("float_ms_ssim", "float_ms_ssim"),
}


def measure(
    video: Path, reference: Path, card: Path, features: Sequence[str] = ("psnr",), every: int = 1
) -> dict[str, float]:
    """Return VMAF and other measures of a video, from `card` if they have been taken of these files before.

    Frames are paired by index: files of two containers round their times differently, and pairing by time then
    compares wrong frames (62 VMAF read as 31).

    Args:
        video: Compressed video.
        reference: Its source, same size.
        card: JSON file that keeps the values, for this `every` and these two files alone, told by size and time.
        features: Keys of `FEATURES` to take beside VMAF.
        every: Measure each n-th frame only.

    Returns:
        Column -> mean over frames: `vmaf` in [0, 100], `psnr` of luma in dB, `ssim` and `ms_ssim` in [0, 1]. Measures
        for which the picture is too small are left out: libvmaf says nothing of them, and FFmpeg ends as if all went
        well.

    Raises:
        ValueError: If the frame counts differ, a file cannot be decoded, or nothing can be measured.
    """
    measured = {"every": every, "video": _stamp(video), "reference": _stamp(reference)}
    columns = ("vmaf", *features)
    kept = read_card(card)
    if kept is not None and set(kept) >= {*columns} and {name: kept.get(name) for name in measured} == measured:
        return {name: kept[name] for name in columns if kept[name] is not None}
    with scratch(card.parent) as folder:
        wanted = "|".join(f"name={FEATURES[name][0]}" for name in features)
        # A plain name, written in the current folder: a path may hold signs that filter options would need escaped.
        vmaf = f"libvmaf=n_threads=1:n_subsample={every}:log_fmt=json:log_path=vmaf.json"
        vmaf += f":feature={wanted}" if wanted else ""
        by_index = "settb=1/25,setpts=N,format=yuv420p"
        graph = f"[0:v]{by_index}[video];[1:v]{by_index}[source];[video][source]{vmaf}"
        counts = ffmpeg.decode_counts(["-i", video, "-i", reference, "-lavfi", graph, "-f", "null", "-"], folder)
        if len(counts) != 2 or counts[0] != counts[1]:
            raise ValueError(
                f"'{video.name}' and its reference '{reference.name}' have {counts} frames; they must be equal."
            )
        pooled = (read_card(folder / "vmaf.json") or {}).get("pooled_metrics", {})
    names = {"vmaf": "vmaf"} | {name: FEATURES[name][1] for name in features}
    values = {column: pooled[name]["mean"] for column, name in names.items() if name in pooled}
    if not values:
        raise ValueError(f"'{video.name}' cannot be measured; its picture may be too small for VMAF.")
    write_json(card, dict.fromkeys(columns) | values | measured)
    return values


def _stamp(path: Path) -> dict[str, int] | None:
    """Return what tells a file from its successor of the same name, None where there is none."""
    if not path.is_file():
        return None
    facts = path.stat()
    return {"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def measure_all(
    pairs: Mapping[str, tuple[Path, Path]],
    cards: Path,
    features: Sequence[str] = ("psnr",),
    *,
    every: int = 1,
    workers: int | None = None,
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return the measures of videos by name, and each failure's message by name.

    A video of which some measures could not be taken is in both.

    Args:
        pairs: Name -> (video, reference).
        cards: Folder that keeps the values.
        features: As in `measure`.
        every: As in `measure`.
        workers: Videos at a time; None for one per processor.
    """
    jobs = {
        name: partial(measure, video, reference, cards / f"{file_name(name)}.json", features, every)
        for name, (video, reference) in pairs.items()
    }
    values, failures = run_jobs(jobs, "Measuring VMAF", workers)
    for name, taken in values.items():
        if lacking := [column for column in ("vmaf", *features) if column not in taken]:
            failures[name] = f"{', '.join(lacking)} could not be measured; the picture may be too small for it."
    return values, failures


def bradley_terry_labels(
    videos: pd.DataFrame, vmaf: NDArray, *, votes_per_pair: int = 25, scale: float = 12.0, seed: int = 0
) -> NDArray:
    """Return Bradley-Terry scores from simulated viewers who see VMAF, the minimum of each group at 0.

    Args:
        videos: Table with `video_id` and `group`.
        vmaf: VMAF of its rows, shape (n,).
        votes_per_pair: Simulated viewers per pair.
        scale: VMAF points that make one logit of preference.
        seed: Of the simulated viewers.
    """
    truth = videos.assign(truth=np.asarray(vmaf) / scale)
    scores, left_out, _ = fit_table(simulate_votes(truth, votes_per_pair=votes_per_pair, seed=seed))
    assert not left_out, left_out  # every pair of a group is compared, so the graph is connected
    return scores.set_index("video_id")["score"].reindex(videos["video_id"]).to_numpy()
