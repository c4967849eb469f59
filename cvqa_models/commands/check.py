"""`cvqa check`: decode every video and list the broken ones."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from cvqa_models.commands.workers import Died, run_each
from cvqa_models.data.atomic import write_text
from cvqa_models.data.files import find_videos
from cvqa_models.data.manifest import read_manifest
from cvqa_models.ending import MISTAKE
from cvqa_models.mistakes import OF_A_FILE, printable, sentence_of
from cvqa_models.terminal import console, say
from cvqa_models.video.facts import describe
from cvqa_models.video.reader import check_video, probe


def check(paths: list[Path], /, *, workers: int | None = None, json: Path | None = None) -> int:
    """Decode every frame of every video and list the broken files with the reason; exit code 2 if there is one.

    Args:
        paths: Video files, folders (searched at any depth), or CSV tables with the columns `video_id` and `path`.
        workers: Files decoded at the same time; all cores by default.
        json: File for the result: the number of videos, path and reason of the broken ones, and for each file what a
            viewer would want to know: container, codec, size, rate, depth, colours, orientation, crop, interlacing,
            frames, damage.
    """
    workers = workers if workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"`workers` is {workers}; expected at least 1.")
    videos = list(dict.fromkeys(video for path in paths for video in _videos(path)))
    found: dict[Path, Look] = {}
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            done = run_each(_look, videos, workers)
            for position, look in progress.track(done, total=len(videos), description="decoding"):
                video = videos[position]
                found[video] = Look(_killed(video, look)) if isinstance(look, Died) else look
    finally:  # what was found out is told when it is stopped, too
        _tell(videos, found, json)
    return MISTAKE if any(look.damage for look in found.values()) else 0


@dataclass(frozen=True)
class Look:
    """What is known of a file.

    Attributes:
        damage: Why it is broken; None if it is not.
        facts: Attributes of `video.facts.Facts`; empty where it cannot be opened.
    """

    damage: str | None
    facts: dict[str, object] = field(default_factory=dict)


def _tell(videos: Sequence[Path], found: Mapping[Path, Look], json: Path | None) -> None:
    """Print and write what was found out of the videos, in the order given."""
    seen = {video: found[video] for video in videos if video in found}
    broken = {video: look.damage for video, look in seen.items() if look.damage is not None}
    for reason in broken.values():
        console().print(Text.assemble(("broken", "red"), f" {printable(reason)}"), soft_wrap=True)
    left = f" {len(videos) - len(seen)} were not looked at." if len(seen) < len(videos) else ""
    say(f"{len(seen) - len(broken)} of {len(videos)} videos decode.{left}")
    if json is not None:
        listed = [{"path": str(path), "reason": reason} for path, reason in broken.items()]
        files = [{"path": str(path), "damage": look.damage, **look.facts} for path, look in seen.items()]
        content = {"videos": len(seen), "broken": listed, "files": files}
        write_text(json, json_format.dumps(content, indent=2) + "\n")


def _videos(path: Path) -> list[Path]:
    """Return the videos that a word on the command line stands for.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If a folder holds no video or a table names none.
    """
    if path.is_dir():
        return find_videos(path)
    if path.suffix.lower() != ".csv":
        return [path]
    found = [Path(record.path) for record in read_manifest(path) if record.path is not None]
    if not found:
        raise ValueError(f"'{path}' names no file; expected a column `path` beside `video_id`.")
    return found


def _look(video: Path) -> Look:
    """Return what is known of a video after decoding it."""
    facts: dict[str, object] = {}
    try:
        described = describe(probe(video))
        facts = asdict(described) if described is not None else {}
        facts["frames"] = check_video(video)
    except OF_A_FILE as error:
        return Look(sentence_of(video, error), facts)
    return Look(None, facts)


def _killed(video: Path, death: Died) -> str:
    return f"'{video}' ended the process that decoded it ({death}); copy or encode it again, or give it more memory."
