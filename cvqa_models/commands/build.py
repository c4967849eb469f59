"""`cvqa build select|encode|proxies`: data sets of compressed video from your own clips."""

from __future__ import annotations

from pathlib import Path

from cvqa_models.commands.failures import finish
from cvqa_models.files import check_there
from cvqa_models.messages import say


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

    Spatial complexity is the mean size of x264's I frames divided by the size of an uncompressed frame; temporal
    complexity is the mean size of P frames divided by that of I frames. Writes a table for `cvqa build encode
    --references`, and a scatter plot of the same name. The exit code is 2 if a clip could not be read.

    Args:
        videos: Folder of clips, searched at any depth.
        clusters: Number of clusters.
        out: Table to write, with paths relative to its folder; the plot lies beside it, with `.png`.
        candidates: Number of clips to choose in each cluster, the nearest to its centre first.
        seed: Seed of the clustering.
        workers: Clips at a time; one per processor by default.
        json: File for the result: chosen clips and failures.

    Examples:
        cvqa build select --videos clips --clusters 8 --out references.csv
    """
    check_there("folder", videos)
    from cvqa_models.corpus.select import select_references  # slow to import

    table, failures = select_references(
        videos, out, clusters=clusters, candidates=candidates, seed=seed, workers=workers
    )
    chosen = table.loc[table["chosen"], "video_id"].tolist()
    say(f"{len(chosen)} of {len(table)} clips chosen: {out}")
    return finish(failures, {"chosen": chosen}, json)


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

    A search over CRF or bitrate reaches each rate within the ladder's tolerance. Finished files are not made again, so
    an interrupted run goes on where it stopped. The exit code is 2 if an encode failed; the others are kept.

    Args:
        references: Folder of pristine clips, searched at any depth; or a table of `cvqa build select`, from which the
            chosen clips are taken.
        ladder: YAML file; configs/build/ladder.yaml explains its keys.
        root: Folder for references, videos, their cards and `manifest.csv`.
        seconds: Length to which the clips are cut.
        lossless: Also keep a lossless x265 copy of every video; each frame is checked to be equal.
        workers: Encodes at a time; one per processor by default.
        json: File for the result: manifest, number of videos, failures.

    Examples:
        cvqa build encode --references references.csv --ladder configs/build/ladder.yaml --root data/mine
    """
    check_there("folder or table", references)
    check_there("ladder", ladder)
    from cvqa_models.corpus.encoding.encode_set import encode_references  # slow to import

    manifest, count, failures = encode_references(
        references, ladder, root, seconds=seconds, lossless=lossless, workers=workers
    )
    say(f"{count} videos: {manifest}")
    return finish(failures, {"manifest": str(manifest), "videos": count}, json)


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

    The values of each video are stored in a folder next to the table, so an interrupted run goes on where it stopped.
    The exit code is 2 if a video failed, for example because it has more frames than its reference.

    Args:
        manifest: Table with `video_id`, `path` and `reference_path`, as `cvqa build encode` writes it.
        out: Table to write: `video_id`, `vmaf` and the features.
        features: Measures in addition to VMAF: psnr, ssim, ms_ssim; all by default.
        every: Measure each n-th frame only.
        workers: Videos at a time; one per processor by default.
        json: File for the result: number of videos, failures.

    Examples:
        cvqa build proxies --manifest data/mine/manifest.csv --out data/mine/proxies.csv
    """
    check_there("table", manifest)
    from cvqa_models.corpus.labels.pseudo_labels import measure_manifest  # slow to import

    count, failures = measure_manifest(manifest, out, features=features, every=every, workers=workers)
    say(f"{count} of {count + len(failures)} videos measured: {out}")
    return finish(failures, {"videos": count}, json)
