"""`cvqa check`: decode every video and list the broken ones."""

from __future__ import annotations

import json as json_format
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from cvqa_models.data.atomic import write_text
from cvqa_models.data.files import find_videos
from cvqa_models.data.manifest import read_manifest
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
    broken = _broken(videos, workers)
    console = Console()
    for reason in broken.values():
        console.print(f"[red]broken[/red] {escape(reason)}", soft_wrap=True, highlight=False)
    console.print(f"{len(videos) - len(broken)} of {len(videos)} videos decode.", highlight=False)
    if json is not None:
        listed = [{"path": str(path), "reason": reason} for path, reason in broken.items()]
        write_text(json, json_format.dumps({"videos": len(videos), "broken": listed}, indent=2) + "\n")
    return BROKEN if broken else 0


def _videos(path: Path) -> list[Path]:
    """Return the videos that a word on the command line stands for.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If a folder holds no video or a table names none.
    """
    if path.is_dir():
        return find_videos(path)
    if path.suffix.lower() != ".csv":
        if not path.exists():
            raise FileNotFoundError(f"There is no '{path}'; give videos, folders or a table with their paths.")
        return [path]
    found = [Path(record.path) for record in read_manifest(path) if record.path is not None]
    if not found:
        raise ValueError(f"'{path}' names no file; expected a column `path` beside `video_id`.")
    return found


def _broken(videos: Sequence[Path], workers: int) -> dict[Path, str]:
    """Return the reason for each video that does not decode, in the order given."""
    reasons: dict[Path, str] = {}
    spawn = multiprocessing.get_context("spawn")
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        ProcessPoolExecutor(min(workers, len(videos)), mp_context=spawn) as pool,
    ):
        running = {pool.submit(_reason, video): video for video in videos}
        for done in progress.track(as_completed(running), total=len(running), description="decoding"):
            reason = done.result()
            if reason is not None:
                reasons[running[done]] = reason
    return {video: reasons[video] for video in videos if video in reasons}


def _reason(video: Path) -> str | None:
    """Return why a video is broken, None if it is not."""
    try:
        check_video(video)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return None
