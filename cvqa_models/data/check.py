"""Decode every video of a set, to find the broken ones and the facts about each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cvqa_models.data.manifest import read_manifest
from cvqa_models.data.videos import find_videos
from cvqa_models.data.workers import Died, run_each
from cvqa_models.messages import OF_A_FILE, sentence_of
from cvqa_models.video.facts import read_facts
from cvqa_models.video.reader import check_video, probe


@dataclass(frozen=True)
class Look:
    """What is known of a file.

    Attributes:
        damage: Why it is broken; None if it is not.
        facts: Attributes of `video.facts.Facts`; empty if it cannot be opened.
    """

    damage: str | None
    facts: dict[str, object] = field(default_factory=dict)


def videos_of(paths: Sequence[Path]) -> list[Path]:
    """Return the videos that files, folders and tables name, each once.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If a folder holds no video or a table names none.
    """
    return list(dict.fromkeys(video for path in paths for video in _videos(path)))


def check_videos(videos: Sequence[Path], workers: int | None = None) -> Iterator[tuple[Path, Look]]:
    """Return an iterator that gives each video, once all its frames are decoded, with what is then known of it.

    Args:
        videos: Files.
        workers: Files decoded at the same time, each in its own process, which a bad file may kill; one per core by
            default.

    Raises:
        ValueError: If `workers` is less than 1.
    """
    count = workers if workers is not None else os.cpu_count() or 1
    if count < 1:
        raise ValueError(f"`workers` is {count}; expected at least 1.")
    return _looks(videos, count)


def _looks(videos: Sequence[Path], workers: int) -> Iterator[tuple[Path, Look]]:
    for position, look in run_each(_look, videos, workers):
        video = videos[position]
        yield video, Look(_killed(video, look)) if isinstance(look, Died) else look


def _videos(path: Path) -> list[Path]:
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
        described = read_facts(probe(video))
        facts = asdict(described) if described is not None else {}
        facts["frames"] = check_video(video)
    except OF_A_FILE as error:
        return Look(sentence_of(video, error), facts)
    return Look(None, facts)


def _killed(video: Path, death: Died) -> str:
    return f"'{video}' ended the process that decoded it ({death}); copy or encode it again, or give it more memory."
