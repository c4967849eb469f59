"""VMAF and other measures against the source, as a proxy for human scores; never report them as human opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cvqa_models.corpus import ffmpeg
from cvqa_models.corpus.folder import building, read_card, scratch, write_csv
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.labels.bradley_terry import fit_table
from cvqa_models.corpus.labels.votes import simulate_votes
from cvqa_models.data.feature_store import file_name
from cvqa_models.data.manifest import read_manifest
from cvqa_models.files import write_json

# Column -> (libvmaf feature, name of its value in the log). VMAF itself comes from the default model vmaf_v0.6.1.
FEATURES = {
    "psnr": ("psnr", "psnr_y"),
    "ssim": ("float_ssim", "float_ssim"),
    "ms_ssim": ("float_ms_ssim", "float_ms_ssim"),
}


def measure(
    video: Path, reference: Path, card: Path, features: Sequence[str] = ("psnr",), every: int = 1
) -> dict[str, float]:
    """Return VMAF and other measures of a video, from `card` if it holds them for these files.

    Frames are paired by index. Two containers may round times differently, and pairs by time would then compare wrong
    frames (a VMAF of 62 came out as 31).

    Args:
        video: Compressed video.
        reference: Its source, same size.
        card: JSON file that stores the values; they hold only for this `every` and these two files, by size and time.
        features: Keys of `FEATURES` to measure in addition to VMAF.
        every: Measure each n-th frame only.

    Returns:
        Column -> mean over frames: `vmaf` in [0, 100], `psnr` of luma in dB, `ssim` and `ms_ssim` in [0, 1]. Measures
        for which the picture is too small are left out; libvmaf and FFmpeg report no error for them.

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
        # A plain name in the current folder, because a path may hold characters that must be escaped in filter options.
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
    """Return the size and time of a file, by which a changed file is recognised; None if there is no file."""
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

    A video for which only some measures failed is in both.

    Args:
        pairs: Name -> (video, reference).
        cards: Folder that stores the values.
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


def measure_manifest(
    manifest: Path, out: Path, *, features: Sequence[str] | None = None, every: int = 1, workers: int | None = None
) -> tuple[int, dict[str, str]]:
    """Write a table of VMAF and other measures of every video against its reference, frames paired by index.

    The values of each video are stored in a folder next to the table, so an interrupted run goes on where it stopped.

    Args:
        manifest: Table with `video_id`, `path` and `reference_path`.
        out: Table to write: `video_id`, `vmaf` and the features.
        features: Keys of `FEATURES` to measure in addition to VMAF; all by default.
        every: Measure each n-th frame only.
        workers: Videos at a time; one per processor by default.

    Returns:
        The number of videos measured, and the message of each that failed, by name.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If a feature is unknown, a video has no file or reference, or none could be measured.
    """
    wanted = list(FEATURES) if features is None else features
    if unknown := set(wanted) - set(FEATURES):
        raise ValueError(f"`features` holds {sorted(unknown)}; choose from {', '.join(FEATURES)}.")
    records = read_manifest(manifest)
    lacking = [one.video_id for one in records if one.path is None or one.reference_path is None]
    if lacking:
        raise ValueError(
            f"'{manifest}' lacks `path` or `reference_path` for {len(lacking)} of {len(records)} videos "
            f"(first: '{lacking[0]}'); fill these columns."
        )
    pairs = {one.video_id: (Path(str(one.path)), Path(str(one.reference_path))) for one in records}
    cards = out.with_suffix("")
    with building(cards):
        values, failures = measure_all(pairs, cards, wanted, every=every, workers=workers)
    if not values:
        raise ValueError("No video could be measured: " + "; ".join(list(failures.values())[:3]))
    table = pd.DataFrame([{"video_id": name, **row} for name, row in values.items()])
    write_csv(out, table.reindex(columns=["video_id", "vmaf", *wanted]))
    return len(values), failures


def bradley_terry_labels(
    videos: pd.DataFrame, vmaf: NDArray, *, votes_per_pair: int = 25, scale: float = 12.0, seed: int = 0
) -> NDArray:
    """Return Bradley-Terry scores from simulated viewers who judge by VMAF; the lowest score of each group is 0.

    Args:
        videos: Table with `video_id` and `group`.
        vmaf: VMAF of its rows, shape (n,).
        votes_per_pair: Simulated viewers per pair.
        scale: VMAF points that give one logit of preference.
        seed: Seed of the simulated viewers.
    """
    truth = videos.assign(truth=np.asarray(vmaf) / scale)
    scores, left_out, _ = fit_table(simulate_votes(truth, votes_per_pair=votes_per_pair, seed=seed))
    assert not left_out, left_out  # every pair of a group is compared, so the graph is connected
    return scores.set_index("video_id")["score"].reindex(videos["video_id"]).to_numpy()
