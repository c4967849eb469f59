"""`cvqa check`: decode every video and list the broken ones."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from cvqa_models.commands.workers import Died, run_each
from cvqa_models.data.atomic import write_text
from cvqa_models.data.files import find_videos
from cvqa_models.data.manifest import read_manifest
from cvqa_models.mistakes import OF_A_FILE, printable, sentence_of
from cvqa_models.terminal import console, say
from cvqa_models.video.reader import check_video

BROKEN = 2  # exit code


def check(paths: list[Path], /, *, workers: int | None = None, json: Path | None = None) -> int:
    """Decode every frame of every video and list the broken files with the reason; exit code 2 if there is one.

    Args:
        paths: Video files, folders (searched at any depth), or CSV tables with the columns `video_id` and `path`.
        workers: Files decoded at the same time; all cores by default.
        json: File for the result: the number of videos, and path and reason of the broken ones.
    """
    workers = workers if workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"`workers` is {workers}; expected at least 1.")
    videos = list(dict.fromkeys(video for path in paths for video in _videos(path)))
    reasons: dict[Path, str | None] = {}
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            done = run_each(_reason, videos, workers)
            for position, reason in progress.track(done, total=len(videos), description="decoding"):
                reasons[videos[position]] = _killed(videos[position], reason) if isinstance(reason, Died) else reason
    finally:  # what was found out is told when it is stopped, too
        _tell(videos, reasons, json)
    return BROKEN if any(reasons.values()) else 0


def _tell(videos: Sequence[Path], reasons: Mapping[Path, str | None], json: Path | None) -> None:
    """Print and write what was found out of the videos in `reasons`, in the order given."""
    broken = {video: reason for video in videos if (reason := reasons.get(video)) is not None}
    for reason in broken.values():
        console().print(Text.assemble(("broken", "red"), f" {printable(reason)}"), soft_wrap=True)
    left = f" {len(videos) - len(reasons)} were not looked at." if len(reasons) < len(videos) else ""
    say(f"{len(reasons) - len(broken)} of {len(videos)} videos decode.{left}")
    if json is not None:
        listed = [{"path": str(path), "reason": reason} for path, reason in broken.items()]
        write_text(json, json_format.dumps({"videos": len(reasons), "broken": listed}, indent=2) + "\n")


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


def _reason(video: Path) -> str | None:
    """Return why a video is broken, None if it is not."""
    try:
        check_video(video)
    except OF_A_FILE as error:
        return sentence_of(video, error)
    return None


def _killed(video: Path, death: Died) -> str:
    return f"'{video}' ended the process that decoded it ({death}); copy or encode it again, or give it more memory."
