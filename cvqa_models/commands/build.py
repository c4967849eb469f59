"""`cvqa build`: data sets of compressed video from your own clips, or from photographs in motion."""

from __future__ import annotations

import json as json_format
import logging
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from os.path import relpath
from pathlib import Path

import pandas as pd
from rich.text import Text

from cvqa_models.build import ladder as ladders
from cvqa_models.build import pseudo_labels, tables
from cvqa_models.build.encode import Encode, encode_all, lossless_copy
from cvqa_models.build.encoders import find_encoder
from cvqa_models.build.files import building, read_card, remember, write_csv, write_json
from cvqa_models.build.jobs import run_jobs
from cvqa_models.build.levels import build_levels
from cvqa_models.build.mini import build_mini
from cvqa_models.build.references import Reference, expect_clip, prepare_clip
from cvqa_models.build.select import choose, chosen_clips, measure_complexity, scatter
from cvqa_models.data.files import index_videos
from cvqa_models.data.manifest import read_manifest, write_manifest
from cvqa_models.ending import MISTAKE
from cvqa_models.mistakes import printable
from cvqa_models.terminal import console, say

log = logging.getLogger(__name__)


def mini(
    root: Path,
    *,
    references: Path | None = None,
    width: int = 320,
    height: int = 180,
    seconds: float = 1.0,
    seed: int = 0,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Build the embedded data set: fourteen references, six encoders, two presets, three rates, scores made from VMAF.

    The table has CVQAD's columns; its scores are a proxy, not human opinion. A build that was interrupted goes on
    where it stopped. Exit code 2 if a video failed; the others are kept.

    Args:
        root: Folder of the data set.
        references: Folder of your own clips instead of packaged photographs in motion.
        width: Columns of the videos.
        height: Rows of the videos; your own clips keep their shape instead.
        seconds: Length of the clips.
        seed: Of the film grain and the simulated viewers.
        workers: Jobs at a time; one per processor by default.
        json: File for the result: table, number of videos, failures.
    """
    built = build_mini(root, references, workers, width=width, height=height, seconds=seconds, seed=seed)
    say(f"{built.num_videos} videos and their proxy scores: {built.labels}")
    return _finish(built.failures, {"labels": str(built.labels), "videos": built.num_videos}, json)


def levels(
    root: Path,
    *,
    photographs: Path | None = None,
    references: int = 300,
    seed: int = 0,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Build training data of the compression level: random scenes in motion over random ladders, labelled with VMAF.

    Photographs move, are filmed by a random camera (noise, blur, dark, bars, often compressed already), and are encoded
    by three encoders at four qualities each, some of them at half to three quarters of the size and scaled back. PSNR
    and MS-SSIM stand beside VMAF. A group is a scene; splits go by photograph. A build that was interrupted goes on
    where it stopped. Exit code 2 if a scene failed; the others are kept.

    Args:
        root: Folder of the data set; `manifest.csv` in it is what training reads.
        photographs: Folder of photographs; those of installed packages by default, which are also the demo's.
        references: Number of scenes; a larger one later goes on where a smaller one stopped.
        seed: Of every draw.
        workers: Scenes at a time; one per processor by default.
        json: File for the result: manifest, failures.
    """
    manifest, failures = build_levels(root, photographs, references, seed, workers)
    say(f"Training data: {manifest}")
    return _finish(failures, {"manifest": str(manifest)}, json)


def select(
    videos: Path,
    *,
    clusters: int,
    out: Path,
    candidates: int = 3,
    seed: int = 0,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Choose references from a folder of clips: K-means on spatial and temporal complexity, candidates per cluster.

    Spatial complexity is x264's mean I frame over the uncompressed frame, temporal its mean P over its mean I frame.
    Writes a table, which `cvqa build encode --references` takes, and beside it a scatter plot of the same name. Exit
    code 2 if a clip could not be read.

    Args:
        videos: Folder of clips, searched at any depth.
        clusters: Number of clusters.
        out: Table to write, its paths relative to its folder; `.png` beside it.
        candidates: Clips to mark in each cluster, the nearest to its centre first.
        seed: Of the clustering.
        workers: Clips at a time; one per processor by default.
        json: File for the result: chosen clips and failures.
    """
    table, failures = measure_complexity(index_videos(videos), workers)
    if table.empty:
        raise ValueError("No clip could be read: " + "; ".join(failures.values()))
    table = choose(table, clusters, candidates, seed)
    table["path"] = [relpath(path, out.parent) for path in table["path"]]
    write_csv(out, table.sort_values(["cluster", "rank"]))
    scatter(table, out.with_suffix(".png"))
    chosen = table.loc[table["chosen"], "video_id"].tolist()
    say(f"{len(chosen)} of {len(table)} clips chosen: {out}")
    return _finish(failures, {"chosen": chosen}, json)


def encode(
    references: Path,
    *,
    ladder: Path,
    root: Path,
    seconds: float | None = None,
    lossless: bool = False,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Encode references over a ladder of encoders, presets and rates, one thread per encode, several at a time.

    Rates are met within the ladder's tolerance by a search over CRF or bitrate. What is finished is never made again,
    so an interrupted run goes on where it stopped. Exit code 2 if an encode failed; the others are kept.

    Args:
        references: Folder of pristine clips, searched at any depth, or the table of `cvqa build select`, of which the
            chosen clips are taken.
        ladder: YAML file; configs/build/ladder.yaml explains its keys.
        root: Folder for references, videos, their cards and `manifest.csv`.
        seconds: Cut the clips to this length.
        lossless: Also keep an x265-lossless copy of every video, checked to be equal frame by frame.
        workers: Encodes at a time; one per processor by default.
        json: File for the result: manifest, number of videos, failures.
    """
    steps = ladders.read(ladder)
    clips = chosen_clips(references) if references.is_file() else index_videos(references)
    settings = {"references": str(references), "seconds": seconds, **ladders.as_settings(steps)}
    with building(root):
        remember(root, settings)
        sources, failures = _sources(clips, steps, root, seconds, lossless, workers)
        encodes, broken = _encodes(steps, list(sources.values()), root, lossless, workers)
        return _finish_encode(encodes, sources, root, failures | broken, json)


def proxies(
    manifest: Path,
    *,
    out: Path,
    features: list[str] | None = None,
    every: int = 1,
    workers: int | None = None,
    json: Path | None = None,
) -> int:
    """Measure VMAF, PSNR, SSIM and MS-SSIM of every video against its reference, frames paired by index.

    Values of one video are kept in a folder beside the table, so an interrupted run goes on where it stopped. Exit
    code 2 if a video failed, for example because it has more frames than its reference.

    Args:
        manifest: Table with `video_id`, `path` and `reference_path`, as `cvqa build encode` writes it.
        out: Table to write: `video_id`, `vmaf` and the features.
        features: Which of psnr, ssim, ms_ssim to take beside VMAF; all by default.
        every: Measure each n-th frame only.
        workers: Videos at a time; one per processor by default.
        json: File for the result: number of videos, failures.
    """
    wanted = list(pseudo_labels.FEATURES) if features is None else features
    if unknown := set(wanted) - set(pseudo_labels.FEATURES):
        raise ValueError(f"`features` holds {sorted(unknown)}; choose from {', '.join(pseudo_labels.FEATURES)}.")
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
        values, failures = pseudo_labels.measure_all(pairs, cards, wanted, every=every, workers=workers)
    if not values:
        raise ValueError("No video could be measured: " + "; ".join(list(failures.values())[:3]))
    table = pd.DataFrame([{"video_id": name, **row} for name, row in values.items()])
    write_csv(out, table.reindex(columns=["video_id", "vmaf", *wanted]))
    say(f"{len(values)} of {len(records)} videos measured: {out}")
    return _finish(failures, {"videos": len(values)}, json)


def _sources(
    clips: Mapping[str, Path],
    steps: ladders.Ladder,
    root: Path,
    seconds: float | None,
    lossless: bool,
    workers: int | None,
) -> tuple[dict[str, Reference], dict[str, str]]:
    """Return the prepared references of the clips that can be used, and what is wrong with the others."""
    folder = root / "references"
    expected, failures = run_jobs(
        {name: partial(expect_clip, path, folder, seconds=seconds) for name, path in clips.items()},
        "Reading references",
        workers,
    )
    _check_disk(ladders.disk_estimate(list(expected.values()), steps, lossless), root)
    shots = {name: partial(prepare_clip, clips[name], folder, seconds=seconds) for name in expected}
    sources, unusable = run_jobs(shots, "Preparing references", workers)
    failures |= unusable
    if not sources:
        raise ValueError("No reference could be used: " + "; ".join(failures.values()))
    return sources, failures


def _encodes(
    steps: ladders.Ladder, sources: Sequence[Reference], root: Path, lossless: bool, workers: int | None
) -> tuple[list[Encode], dict[str, str]]:
    """Return the encodes of a ladder, with lossless copies if wanted, and what failed."""
    speeds, failures = _speeds(steps, sources[0], root)
    encodes, broken = encode_all(ladders.plan(sources, steps, speeds), root, workers)
    failures |= broken
    if lossless:
        copies = {one.video_id: partial(lossless_copy, one, root) for one in encodes}
        failures |= run_jobs(copies, "Checking lossless copies", workers)[1]
    return encodes, failures


def _speeds(steps: ladders.Ladder, probe: Reference, root: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the speeds of a ladder's encoders, and the message of each encoder that does not work.

    They are measured once per root, so that a resumed run keeps them.
    """
    card = root / "speeds.json"
    speeds: dict[str, dict[str, str]] = read_card(card) or {}
    failures: dict[str, str] = {}
    for name in steps.encoders:
        if name not in speeds:
            try:
                speeds[name] = ladders.speeds_of(find_encoder(name), steps, probe, root)
            except ValueError as error:
                failures[name] = str(error)
    write_json(card, speeds)
    log.info("speeds: %s", json_format.dumps(speeds))
    return speeds, failures


def _check_disk(needed: int, root: Path) -> None:
    """Log how much space a build will take; raise a ValueError if there is less, not counting what is there already."""
    there = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    free = shutil.disk_usage(root).free
    log.info(
        "References and encodes take about %.1f MB, of which %.1f MB are there; %.1f MB are free.",
        needed / 1e6, there / 1e6, free / 1e6,
    )  # fmt: skip
    if needed - there > free:
        raise ValueError(
            f"The build needs about {(needed - there) / 1e9:.1f} GB but '{root}' has {free / 1e9:.1f} GB free; "
            "make room."
        )


def _finish_encode(
    encodes: Sequence[Encode],
    sources: Mapping[str, Reference],
    root: Path,
    failures: dict[str, str],
    json: Path | None,
) -> int:
    if not encodes:
        raise ValueError("No video could be encoded: " + "; ".join(list(failures.values())[:3]))
    manifest = root / "manifest.csv"
    write_manifest(manifest, tables.manifest_table(encodes, sources, root))
    say(f"{len(encodes)} videos: {manifest}")
    return _finish(failures, {"manifest": str(manifest), "videos": len(encodes)}, json)


def _finish(failures: Mapping[str, str], result: dict[str, object], json: Path | None) -> int:
    """Write the result, list what failed, and return the exit code."""
    if json is not None:
        write_json(json, {**result, "failures": dict(failures)})
    for name, message in failures.items():
        words = Text.assemble(("failed", "red"), f" {printable(f'{name}: {message}')}")
        console(stderr=True).print(words, soft_wrap=True)
    return MISTAKE if failures else 0
