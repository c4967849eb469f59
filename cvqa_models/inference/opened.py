"""Open a video that is given as a path, an address, an open file or frames, so that views can be filled from it."""

from __future__ import annotations

import http.client
import io
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import numpy as np
from torch import Tensor

from cvqa_models.video.changes import Changes
from cvqa_models.video.copies import filled, local
from cvqa_models.video.in_memory import NAME, in_memory
from cvqa_models.video.info import VideoInfo
from cvqa_models.video.plan import Clip
from cvqa_models.video.reader import ReadOptions, iter_clips, probe
from cvqa_models.video.view import View

Video = str | os.PathLike[str] | BinaryIO | np.ndarray | Tensor
"""A path, an address (http, https, s3, gs), an open binary file, or RGB frames: uint8, shape (T, H, W, 3)."""

TIMEOUT = 60.0  # seconds without a byte after which a download is given up
_SNIFFED = 512  # bytes at the start of a download, enough to recognise a web page
_BLOCK = 1 << 20  # bytes of a download that are held in memory


class Clips(Protocol):
    """Function that reads the clips of views."""

    def __call__(self, views: Sequence[View], changes: Changes | None = None) -> Iterator[Clip]:
        """Yield (view key, clip index, uint8 clip (C, T, H, W)) as clips complete, from one pass."""


@dataclass(frozen=True)
class Opened:
    """A video that can be read.

    Attributes:
        name: Its name in messages.
        info: What is known of it before any frame is decoded.
        decoder: Decoder of its pixels, with version and colour matrix.
        clips: Function from views to their clips, in one pass; its second argument receives every frame.
    """

    name: str
    info: VideoInfo
    decoder: str
    clips: Clips


@contextmanager
def opened(
    video: Video, options: ReadOptions, fps: float | None = None, reference: Path | None = None
) -> Iterator[Opened]:
    """Yield a video that can be read until the block ends.

    Args:
        video: The video.
        options: How files are decoded.
        fps: Frames per second, for frames in memory.
        reference: Its source, for views that need it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a video, or cannot be read here.
    """
    if isinstance(video, np.ndarray | Tensor):
        frames = in_memory(video, fps)
        yield Opened(NAME, frames.info, NAME, partial(frames.iter_clips, display=options.display))
        return
    if fps is not None:
        raise ValueError(f"`fps` is {fps}, but a file says its own rate; give `fps` with frames in memory only.")
    with as_file(video) as path:
        info = probe(path, options)
        decoder = replace(options, decoder=info.decoder).key  # type: ignore[arg-type]
        yield Opened(str(path), info, decoder, partial(_clips, path, options, reference))


def _clips(
    path: Path, options: ReadOptions, reference: Path | None, views: Sequence[View], changes: Changes | None = None
) -> Iterator[Clip]:
    return iter_clips(path, views, options, reference=reference, changes=changes)


@contextmanager
def as_file(video: str | os.PathLike[str] | BinaryIO, *, largest: int | None = None) -> Iterator[Path]:
    """Yield the path of a video. For an address or an open file, this is a temporary copy, which is removed after.

    Args:
        video: A path, an address or an open file.
        largest: Number of bytes after which a download is given up.

    Raises:
        ValueError: If an address fails or gives a web page or too much, a file cannot be read from its start, or
            `video` is none of these. Errors of a download or a copy name the address or the open file.
    """
    if isinstance(video, str) and re.match("https?://", video):
        fill = partial(_download, video, largest)
        with filled(_address(video), fill, PurePosixPath(urlsplit(video).path).suffix) as path:
            yield path
    elif isinstance(video, str | os.PathLike):
        with local(Path(video) if isinstance(video, os.PathLike) else video) as path:
            yield path
    elif hasattr(video, "read"):
        name = getattr(video, "name", None)
        label = name if isinstance(name, str) else "the open file"
        with filled(label, partial(_copy, video, label), PurePosixPath(label).suffix) as path:
            yield path
    else:
        raise ValueError(
            f"The video is of type {type(video).__name__}; expected a path, an address, a file opened in binary mode, "
            "or frames, uint8 of shape (T, H, W, 3)."
        )


def _copy(video: BinaryIO, name: str, target: BinaryIO) -> None:
    """Copy an open file from its start, and set its position back."""
    if isinstance(video, io.TextIOBase):
        raise ValueError(f"'{name}' gives text; open it in binary mode, as in `open(path, 'rb')`.")
    try:
        place = video.tell()
        video.seek(0)
        shutil.copyfileobj(video, target)
        video.seek(place)
    except (OSError, AttributeError) as error:  # `io.UnsupportedOperation` is an OSError
        raise ValueError(
            f"'{name}' cannot be read from its start, as a pipe cannot; save it as a file first."
        ) from error


def _download(url: str, largest: int | None, target: BinaryIO) -> None:
    name = _address(url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            start = response.read(_SNIFFED)
            if _is_page(response.headers.get_content_type(), start):
                raise ValueError(f"'{name}' gives a web page, not a video; give the address of the file itself.")
            target.write(start)
            while block := response.read(_BLOCK):
                target.write(block)
                if largest is not None and target.tell() > largest:
                    raise ValueError(f"'{name}' gives more than {largest / 1e6:g} MB, which is all that is taken.")
            length = response.headers["Content-Length"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"'{name}' answers {error.code} ({error.reason}); check the address in a browser.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ValueError(f"'{name}' cannot be reached ({reason}); check the address and the network.") from error
    if length is not None and target.tell() != int(length):
        raise ValueError(f"'{name}' gave {target.tell()} of {length} bytes; try again.")


def _is_page(kind: Any, start: bytes) -> bool:
    return kind == "text/html" or start.lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _address(url: str) -> str:
    """Return an address without parts that may be secret: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
