"""Match rows of a table with files on disk, even if the two spell the name differently."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cvqa_models.data.videos import composed, find_videos, without_extension
from cvqa_models.tables import near_misses, number

log = logging.getLogger(__name__)


def match_videos(
    names: Mapping[str, str],
    folder: str | Path,
    *,
    partial: bool = False,
    prefix: str = "",
    file_key: Callable[[str], str] = str,
) -> dict[str, str]:
    """Return video_id -> path for the videos of a table.

    Args:
        names: video_id -> file name, with or without extension; `a/b` is found as `b` below any folder `a`.
        folder: Folder of the videos, searched at any depth.
        partial: Whether rows without a video, and videos without a row, are left out with a warning; otherwise they are
            an error.
        prefix: Only files whose stem starts with this need a row.
        file_key: Function from a file's stem to the table's spelling, for data sets where they differ.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a name fits several files, a row has no video, or a video has no row. The message gives the most
            similar names of the other side.
    """
    files = find_videos(folder)
    index = _by_ending(files, Path(folder), file_key)
    keys = {video_id: without_extension(str(PurePosixPath(composed(name)))) for video_id, name in names.items()}
    keys |= _foreign({video_id: key for video_id, key in keys.items() if key not in index}, index, folder)
    paths = {video_id: index[key] for video_id, key in keys.items() if key in index}
    for video_id, several in paths.items():
        if len(several) > 1:
            raise ValueError(
                f"{video_id!r} fits '{several[0]}' and '{several[1]}'; keep one of them, or name its folder."
            )
    used = {path for several in paths.values() for path in several}
    lost = [keys[video_id] for video_id in names if video_id not in paths]
    stray = [composed(path.stem) for path in files if path not in used and path.stem.startswith(prefix)]
    problems = []
    if lost:
        near = near_misses(lost, stray or [composed(path.stem) for path in files])
        problems.append(f"{len(lost)} of {len(names)} labels have no video: {near}{_rewritten(lost, stray)}")
    if stray:
        problems.append(f"{len(stray)} of {len(files)} videos have no label: {near_misses(stray, lost or list(names))}")
    if problems and not partial:
        raise ValueError(
            f"In '{folder}', {'; '.join(problems)}; rename or remove them, or leave them out with `partial`."
        )
    for problem in problems:
        log.warning("'%s': %s (left out)", folder, problem)
    return {video_id: str(several[0]) for video_id, several in paths.items()}


def _foreign(lost: Mapping[str, str], index: Mapping[str, list[Path]], folder: str | Path) -> dict[str, str]:
    """Return video_id -> the longest ending of its name for which there is a file, for paths of another system.

    Raises:
        ValueError: If two such names fit one file.
    """
    found: dict[str, str] = {}
    for video_id, name in lost.items():
        if "\\" in name or re.match(r"[/~]|[a-z]+:", name, re.IGNORECASE):
            parts = without_extension(name.replace("\\", "/")).split("/")
            endings = ("/".join(parts[start:]) for start in range(len(parts)))
            key = next((ending for ending in endings if ending in index), None)
            if key is not None:
                found[video_id] = key
    if found:
        log.warning(
            "'%s': %d names are paths of another system (such as %r); they are matched by their last part.",
            folder, len(found), lost[next(iter(found))],
        )  # fmt: skip
    twice = [key for key, count in Counter(found.values()).items() if count > 1]
    if twice:
        both = [repr(lost[video_id]) for video_id, key in found.items() if key == twice[0]]
        raise ValueError(f"{both[0]} and {both[1]} both fit '{index[twice[0]][0]}'; name the videos apart.")
    return found


def _rewritten(lost: Sequence[str], stray: Sequence[str]) -> str:
    """Return a remark if a spreadsheet seems to have turned names into numbers, as 007 into 7 or 1e5 into 100000."""
    values = {number(name): name for name in stray}
    for name in lost:
        value = number(name)
        if value is not None and value in values:
            return f"; a spreadsheet may have made {name!r} of {values[value]!r}, so format that column as text"
    return ""


def _by_ending(files: list[Path], root: Path, file_key: Callable[[str], str]) -> dict[str, list[Path]]:
    """Return every ending of a relative path without extension (`c`, `b/c`, `a/b/c`) -> the files that have it."""
    index: dict[str, list[Path]] = {}
    for path in files:
        parts = [*map(composed, path.relative_to(root).parts[:-1]), file_key(composed(path.stem))]
        for start in range(len(parts)):
            index.setdefault("/".join(parts[start:]), []).append(path)
    return index
