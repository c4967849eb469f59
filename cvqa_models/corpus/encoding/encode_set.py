"""Encode references over a ladder: from a folder of clips to a manifest. A stopped build goes on where it was."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from cvqa_models.corpus import tables
from cvqa_models.corpus.encoding import ladder as ladders
from cvqa_models.corpus.encoding.encode import Encode, encode_all, lossless_copy
from cvqa_models.corpus.encoding.encoders import find_encoder
from cvqa_models.corpus.folder import building, read_card, remember
from cvqa_models.corpus.jobs import run_jobs
from cvqa_models.corpus.references import Reference, expect_clip, prepare_clip
from cvqa_models.corpus.select import chosen_clips
from cvqa_models.data.manifest import write_manifest
from cvqa_models.data.videos import index_videos
from cvqa_models.files import write_json

log = logging.getLogger(__name__)


def encode_references(
    references: Path,
    ladder: Path,
    root: Path,
    *,
    seconds: float | None = None,
    lossless: bool = False,
    workers: int | None = None,
) -> tuple[Path, int, dict[str, str]]:
    """Write references, their encodes and `manifest.csv` to `root`; finished files are not made again.

    Args:
        references: Folder of pristine clips, searched at any depth; or a table of `select_references`, from which the
            chosen clips are taken.
        ladder: YAML file; configs/build/ladder.yaml explains its keys.
        root: Folder for references, videos, their cards and the manifest.
        seconds: Length to which the clips are cut.
        lossless: Also keep a lossless x265 copy of every video; each frame is checked to be equal.
        workers: Encodes at a time; one per processor by default.

    Returns:
        The manifest, its number of videos, and name -> message of everything that failed.

    Raises:
        FileNotFoundError: If there is no such folder, table or ladder.
        ValueError: If the ladder is malformed, the disk is too small, another build is under way in `root` or was made
            with other settings, or nothing could be encoded.
    """
    steps = ladders.read(ladder)
    clips = chosen_clips(references) if references.is_file() else index_videos(references)
    settings = {"references": str(references), "seconds": seconds, **ladders.as_settings(steps)}
    with building(root):
        remember(root, settings)
        sources, failures = _sources(clips, steps, root, seconds, lossless, workers)
        encodes, broken = _encodes(steps, list(sources.values()), root, lossless, workers)
        failures |= broken
        if not encodes:
            raise ValueError("No video could be encoded: " + "; ".join(list(failures.values())[:3]))
        manifest = root / "manifest.csv"
        write_manifest(manifest, tables.manifest_table(encodes, sources, root))
    return manifest, len(encodes), failures


def _sources(
    clips: Mapping[str, Path],
    steps: ladders.Ladder,
    root: Path,
    seconds: float | None,
    lossless: bool,
    workers: int | None,
) -> tuple[dict[str, Reference], dict[str, str]]:
    """Return the prepared references of the usable clips, and what is wrong with the other clips."""
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
    """Return the encodes of a ladder, with lossless copies if wanted, and the failures."""
    speeds, failures = _speeds(steps, sources[0], root)
    encodes, broken = encode_all(ladders.plan(sources, steps, speeds), root, workers)
    failures |= broken
    if lossless:
        copies = {one.video_id: partial(lossless_copy, one, root) for one in encodes}
        failures |= run_jobs(copies, "Checking lossless copies", workers)[1]
    return encodes, failures


def _speeds(steps: ladders.Ladder, probe: Reference, root: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return the speeds of a ladder's encoders, and the message of each encoder that does not work.

    They are measured only once per root, so that a resumed run uses the same speeds.
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
    log.info("speeds: %s", json.dumps(speeds))
    return speeds, failures


def _check_disk(needed: int, root: Path) -> None:
    """Log how much space a build will take; raise a ValueError if less is free. Finished files need no more space."""
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
