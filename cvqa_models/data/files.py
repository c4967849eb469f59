"""Which files on disk are videos, at any depth, and how their names are spelt."""

from __future__ import annotations

import hashlib
import logging
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

log = logging.getLogger(__name__)

# What FFmpeg's demuxers name as theirs and may hold video, but for pictures, sound and raw samples of unknown size.
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
_NAMED = 3  # of the kinds of file that are passed over


def sha256(path: str | Path) -> str:
    """Return the digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def find_videos(folder: str | Path) -> list[Path]:
    """Return every video below a folder, sorted; what is passed over is counted and named in the log.

    Hidden files and folders are not looked at, nor files whose names are no UTF-8, which no table can name. A file
    beside a video of the same name, such as its subtitles, belongs to it and is not named.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no video.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder '{folder}'; give the folder that holds the videos.")
    files = sorted(path for path in _files(root) if path.is_file())
    found = [path for path in files if path.suffix.lower() in EXTENSIONS and _is_text(path)]
    videos, stems = set(found), {path.with_suffix("") for path in found}
    passed = _passed_over([path for path in files if path not in videos and path.with_suffix("") not in stems])
    if not found:
        others = f" (but {passed})" if passed else ""
        raise ValueError(f"'{folder}' holds no video{others}; expected files such as .mp4, .mkv, .webm or .h265.")
    if passed:
        log.info("'%s': passed over %s, which are not read as videos.", folder, passed)
    return found


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden, as those are that a killed writer or a system leaves."""

    def unreadable(error: OSError) -> None:
        log.warning("'%s' is passed over: %s.", error.filename, error.strerror)

    for folder, below, names in os.walk(root, onerror=unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _is_text(path: Path) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _passed_over(files: Collection[Path]) -> str:
    """Return numbers and kinds of files in words, the most frequent first, with an example of each."""
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
        ValueError: If it holds no video, or two videos with one stem.
    """
    return by_stem(find_videos(folder))


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Return stem, in composed Unicode -> file, in the order given.

    Raises:
        ValueError: If two files have one stem.
    """
    found: dict[str, Path] = {}
    for path in files:
        stem = composed(path.stem)
        if stem in found:
            raise ValueError(f"'{found[stem]}' and '{path}' have one stem; rename one of them.")
        found[stem] = path
    return found


def without_extension(name: str) -> str:
    """Return a file name without its extension, if that is one of a video."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else name


def composed(name: str) -> str:
    """Return a name in composed Unicode (NFC), as tables are read; some systems write names decomposed."""
    return unicodedata.normalize("NFC", name)


def locate(folder: Path, name: str) -> Path:
    """Return the file that a table's cell names, seen from `folder`.

    Where the name is not there as it is spelt, the same name in decomposed Unicode, or with the other system's
    separators, is taken if that is there.
    """
    spellings = (name, unicodedata.normalize("NFD", name), composed(name), composed(name).replace("\\", "/"))
    if name.isascii() and "\\" not in name:
        return folder / name
    return next((folder / spelling for spelling in spellings if os.path.lexists(folder / spelling)), folder / name)
