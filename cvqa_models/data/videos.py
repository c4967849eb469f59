"""Find the video files below a folder, and compare names that are spelt differently."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

log = logging.getLogger(__name__)

# Extensions that FFmpeg's demuxers name, if they may hold video; not pictures, sound or raw samples of unknown size.
EXTENSIONS = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".mj2",
        ".ismv",
        ".3gp",
        ".3g2",
        ".f4v",
        ".mkv",
        ".mk3d",
        ".webm",
        ".avi",
        ".divx",
        ".wmv",
        ".asf",
        ".flv",
        ".amv",
    }
    | {
        ".ts",
        ".mts",
        ".m2ts",
        ".m2t",
        ".tp",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".m1v",
        ".m2v",
        ".mpv",
        ".vob",
        ".ogv",
        ".ogm",
        ".dv",
        ".mxf",
        ".gxf",
        ".lxf",
        ".nut",
        ".rm",
        ".rmvb",
        ".nsv",
        ".wtv",
    }
    | {
        ".y4m",
        ".ivf",
        ".obu",
        ".gif",
        ".apng",
        ".avifs",
        ".mjpg",
        ".mjpeg",
        ".drc",
        ".vc1",
        ".cavs",
        ".avs2",
        ".avs3",
        ".evc",
        ".vp8",
        ".vp9",
        ".av1",
    }
    | {".h261", ".h263", ".h264", ".264", ".avc", ".h265", ".265", ".hevc", ".h266", ".266", ".vvc", ".bit"}
)
# A still counts as a video of one frame.
STILLS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".jxl"})
_NAMED = 3  # how many kinds of ignored files a message names


def find_videos(folder: str | Path) -> list[Path]:
    """Return every video below a folder, sorted; the log counts and names the files that are ignored.

    In a folder without any video, stills are taken as videos; next to videos they are taken as covers and thumbnails.
    Hidden files and folders are ignored. So are files whose names are not UTF-8, because no table can name them. A file
    next to a video of the same name, such as its subtitles, belongs to the video and is not named in the log.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'; give the folder that holds the videos.")
    files = sorted(path for path in _files(root) if path.is_file())
    named = [path for path in files if _is_text(path)]
    found = [path for path in named if path.suffix.lower() in EXTENSIONS]
    found = found or [path for path in named if path.suffix.lower() in STILLS]
    videos, stems = set(found), {path.with_suffix("") for path in found}
    passed = _passed_over([path for path in files if path not in videos and path.with_suffix("") not in stems])
    if not found:
        others = f" (but {passed})" if passed else ""
        raise ValueError(f"'{folder}' holds no video{others}; expected files such as .mp4, .mkv, .webm or .h265.")
    if passed:
        log.info("'%s': passed over %s, which are not read as videos.", folder, passed)
    return found


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden: killed writers and systems leave hidden files."""

    def unreadable(error: OSError) -> None:
        log.warning("'%s' is passed over: %s.", error.filename, error.strerror)

    for folder, below, names in os.walk(root, onerror=unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _is_text(path: Path) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _passed_over(files: Collection[Path]) -> str:
    """Return in words how many files there are of each kind, the most frequent first, with an example."""
    kinds: dict[str, list[Path]] = {}
    for path in files:
        kind = (path.suffix.lower() or "without an extension") if _is_text(path) else "with a name that is no UTF-8"
        kinds.setdefault(kind, []).append(path)
    ordered = sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [f"{len(some)} {kind} (such as {min(some).name!r})" for kind, some in ordered[:_NAMED]]
    rest = sum(len(some) for _, some in ordered[_NAMED:])
    return ", ".join([*shown, *([f"{rest} of other kinds"] if rest else [])])


def index_videos(folder: str | Path) -> dict[str, Path]:
    """Return stem -> file of every video below a folder, sorted by path.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video, or two videos with the same stem.
    """
    return by_stem(find_videos(folder))


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return stem, in composed Unicode -> file, in the order given.

    Raises:
        ValueError: If two files have the same stem.
    """
    found: dict[str, Path] = {}
    for path in files:
        stem = composed(path.stem)
        if stem in found:
            raise ValueError(f"'{found[stem]}' and '{path}' have one stem; rename one of them.")
        found[stem] = path
    return found


def without_extension(name: str) -> str:
    """Return a file name without its extension, if that is an extension of videos or stills."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS | STILLS else name


def composed(name: str) -> str:
    """Return a name in composed Unicode (NFC), as in tables that were read; some systems write decomposed names."""
    return unicodedata.normalize("NFC", name)


def locate(folder: Path, name: str) -> Path:
    """Return the file that a table's cell names; relative names start at `folder`.

    If there is no file of that spelling, the same name in decomposed Unicode, or with the separators of the other
    system, is tried.
    """
    spellings = (name, unicodedata.normalize("NFD", name), composed(name), composed(name).replace("\\", "/"))
    if name.isascii() and "\\" not in name:
        return folder / name
    return next((folder / spelling for spelling in spellings if os.path.lexists(folder / spelling)), folder / name)
