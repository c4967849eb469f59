"""Which file on disk is which row of a table: looked up by name, any extension, in any subfolder."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from cvqa_models.csv_table import near_misses

log = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    {".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".ts", ".mpg", ".mpeg", ".wmv", ".flv", ".y4m", ".ivf", ".obu"}
    | {".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".h266", ".266", ".vvc", ".bit", ".av1", ".vp9"}
)


def sha256(path: str | Path) -> str:
    """Return the digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def find_videos(folder: str | Path) -> list[Path]:
    """Return every video below a folder, sorted.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'; give the folder that holds the videos.")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not found:
        raise ValueError(f"'{folder}' holds no video; expected files such as .mp4, .mkv, .webm or .h265.")
    return found


def index_videos(folder: str | Path) -> dict[str, Path]:
    """Return stem -> file of every video below a folder, sorted by path.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video, or two videos with one stem.
    """
    return by_stem(find_videos(folder))


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return stem -> file, in the order given.

    Raises:
        ValueError: If two files have one stem.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise ValueError(f"'{found[path.stem]}' and '{path}' have one stem; rename one of them.")
        found[path.stem] = path
    return found


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
        folder: Where the videos lie, at any depth.
        partial: Whether rows without a video, and videos without a row, are left out with a warning instead of
            refused.
        prefix: Only files whose stem starts so are expected to have a row.
        file_key: From a file's stem to the table's spelling, for data sets where they differ.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a name fits several files; if a row has no video or a video has no row, with the most similar
            names of the other side.
    """
    files = find_videos(folder)
    index = _by_ending(files, Path(folder), file_key)
    paths = {video_id: index[key] for video_id, name in names.items() if (key := without_extension(name)) in index}
    for video_id, several in paths.items():
        if len(several) > 1:
            raise ValueError(
                f"{video_id!r} fits '{several[0]}' and '{several[1]}'; keep one of them, or name its folder."
            )
    used = {path for several in paths.values() for path in several}
    lost = [without_extension(names[video_id]) for video_id in names if video_id not in paths]
    stray = [path.stem for path in files if path not in used and path.stem.startswith(prefix)]
    problems = []
    if lost:
        near = near_misses(lost, stray or [path.stem for path in files])
        problems.append(f"{len(lost)} of {len(names)} labels have no video: {near}")
    if stray:
        problems.append(f"{len(stray)} of {len(files)} videos have no label: {near_misses(stray, lost or list(names))}")
    if problems and not partial:
        raise ValueError(
            f"In '{folder}', {'; '.join(problems)}; rename or remove them, or leave them out with `partial`."
        )
    for problem in problems:
        log.warning("'%s': %s (left out)", folder, problem)
    return {video_id: str(several[0]) for video_id, several in paths.items()}


def _by_ending(files: list[Path], root: Path, file_key: Callable[[str], str]) -> dict[str, list[Path]]:
    """Return every ending of a relative path without extension (`c`, `b/c`, `a/b/c`) -> the files that have it."""
    index: dict[str, list[Path]] = {}
    for path in files:
        parts = [*path.relative_to(root).parts[:-1], file_key(path.stem)]
        for start in range(len(parts)):
            index.setdefault("/".join(parts[start:]), []).append(path)
    return index


def without_extension(name: str) -> str:
    """Return a file name without its extension, if that is one of a video."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else name
