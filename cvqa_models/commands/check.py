"""`cvqa check`: decode every video and list the broken ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvqa_models.ending import MISTAKE
from cvqa_models.files import check_there, write_json
from cvqa_models.messages import console, follow, printable, say

if TYPE_CHECKING:
    from cvqa_models.data.check import Look

AT_ONCE = 500  # lines of one call; a call for each takes five times as long as looking for its file


def check(paths: list[Path], /, *, workers: int | None = None, json: Path | None = None) -> int:
    """Decode every frame of every video and list the broken files with the reason; exit code 2 if there is one.

    Args:
        paths: Video files, folders (searched at any depth), or CSV tables with the columns `video_id` and `path`.
        workers: Files decoded at the same time; all cores by default.
        json: File for the result: the number of videos, path and reason of the broken ones, and facts about each file:
            container, codec, size, rate, depth, colours, orientation, crop, interlacing, frames, damage.

    Examples:
        cvqa check videos
        cvqa check manifest.csv --json check.json
    """
    if len(paths) == 1:  # of several, the existing ones are checked
        check_there("video, folder or table", paths[0])
    from cvqa_models.data.check import check_videos, videos_of  # slow to import

    videos = videos_of(paths)
    done = check_videos(videos, workers)
    found: dict[Path, Look] = {}
    try:
        found.update(follow(done, "decoding", len(videos)))
    finally:  # also if it is stopped, the results so far are shown
        _tell(videos, found, json)
    return MISTAKE if any(look.damage for look in found.values()) else 0


def _tell(videos: Sequence[Path], found: Mapping[Path, Look], json: Path | None) -> None:
    """Print and write the results of the videos, in the given order."""
    seen = {video: found[video] for video in videos if video in found}
    broken = {video: look.damage for video, look in seen.items() if look.damage is not None}
    from rich.text import Text

    lines = [Text.assemble(("broken", "red"), f" {printable(reason)}") for reason in broken.values()]
    for start in range(0, len(lines), AT_ONCE):
        console().print(Text("\n").join(lines[start : start + AT_ONCE]), soft_wrap=True)
    left = f" {len(videos) - len(seen)} were not looked at." if len(seen) < len(videos) else ""
    say(f"{len(seen) - len(broken)} of {len(videos)} videos decode.{left}")
    if json is not None:
        listed = [{"path": str(path), "reason": reason} for path, reason in broken.items()]
        files = [{"path": str(path), "damage": look.damage, **look.facts} for path, look in seen.items()]
        write_json(json, {"videos": len(seen), "broken": listed, "files": files})
