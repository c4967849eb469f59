"""Check the files and addresses that a request names, and clean a client's file name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cvqa_models.messages import printable
from cvqa_models.serve.limits import RefusedError

_HEAD = 1 << 20  # bytes from which FFmpeg recognises the format of a file
_LISTS = (b"#EXTM3U", b"ffconcat", b"v=0")  # how playlists (HLS, concat, SDP) begin
_LONGEST = 200  # largest number of letters of a name


def file_under(roots: Sequence[Path], given: str) -> Path:
    """Return the file that a path names below one of the roots; links are followed.

    Args:
        roots: Folders.
        given: A full path, or a path relative to a root.

    Raises:
        RefusedError: If it lies outside all roots, even if there is no such file; or if there is no such file.
    """
    if not roots:
        raise RefusedError(403, "This service reads no paths; send the file, or start it with `--root FOLDER`.")
    inside = False
    for root in roots:
        try:
            top = root.resolve()
            path = (top / given).resolve()
            if not path.is_relative_to(top):
                continue
            inside = True
            if path.is_file():
                return path
        except (OSError, ValueError, RuntimeError) as error:  # too long, not text, or links that form a circle
            raise RefusedError(400, "`path` is no path of this system.") from error
    if inside:
        raise RefusedError(404, f"There is no file '{printable(given)}' in the folders of this service.")
    raise RefusedError(403, f"'{printable(given)}' is outside the folders of this service.")


def check_address(allowed: Sequence[str], given: str) -> None:
    """Raise a RefusedError unless an address starts with one of the allowed beginnings.

    Args:
        allowed: Beginnings, as in `https://media.example.org/films/`.
        given: The address.
    """
    if not allowed:
        raise RefusedError(403, "This service fetches no addresses; send the file, or start it with `--address`.")
    try:
        wanted = urlsplit(given)
        fits = any(_begins(wanted.geturl(), urlsplit(one).geturl()) for one in allowed)
    except ValueError as error:
        raise RefusedError(400, "`url` is no address.") from error
    if not fits or wanted.username is not None or ".." in unquote(wanted.path).split("/"):
        raise RefusedError(403, "This service does not fetch from that address; send the file.")


def _begins(address: str, beginning: str) -> bool:
    # Without the slash, https://host would also allow https://host.elsewhere.
    return address == beginning or address.startswith(beginning.rstrip("/") + "/")


def shown_name(given: str) -> str:
    """Return the last part of a client's path; this name is only shown, never opened."""
    last = re.split(r"[/\\]", given)[-1].encode(errors="replace").decode()
    return printable(last)[:_LONGEST].strip() or "video"


def suffix_of(name: str) -> str:
    """Return the extension of a name, if it is a plain one: some streams are recognised only by it."""
    found = re.search(r"\.[A-Za-z0-9]{1,5}$", name)
    return found[0].lower() if found else ""


def check_whole(path: Path) -> None:
    """Raise a ValueError if a file is a playlist or a script, through which FFmpeg would read other files."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(_LISTS) or b"dash:profile:" in head or _is_text(head[:512]):
        raise ValueError(f"'{path}' is text, such as a playlist, and no video; send the video itself.")


def _is_text(head: bytes) -> bool:
    # Raw video in Y4M also begins with a line of text.
    return bool(head) and not head.startswith(b"YUV4MPEG2") and not re.search(rb"[^\t\n\r\x20-\x7e]", head)
