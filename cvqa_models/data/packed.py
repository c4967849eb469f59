"""Features of many videos in few files: shards of equal rows, each with its own index, read row by row.

A shard is a safetensors file with one tensor `tokens` of shape (V, N, D), so that any program can read it; its header
holds what is known of its V videos. Rows are read from the file at their positions, not through a memory map. All
processes still share the same pages of the disk cache, but these do not count as memory of this process. A file that
was cut short raises an error; with a map it would end the process.
"""

from __future__ import annotations

import json
import math
import operator
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvqa_models.files import whole, write_text

FOLDER = "packed"
"""Folder of the shards of a branch, next to the files of single videos, whose names end in `.safetensors`."""

_TIMES = "times.json"
_KINDS: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
_EACH = {"video_id": str, "checksum": int, "changed": int}
_HEADER_LIMIT = 1 << 30


class UnusableError(ValueError):
    """Features that must be computed again.

    Attributes:
        reason: Why; the message adds what to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; run `cvqa extract` again.")
        self.reason = reason


@dataclass
class Shard:
    """A file of rows.

    Attributes:
        path: The file.
        kind: Type of the stored values, `F32` or `F16`.
        shape: Shape of a row, (N, D).
        start: Position of the first row, in bytes.
        common: Metadata that is equal for all videos.
        each: Metadata of each video, name -> a value per row; null if a video has none.
    """

    path: Path
    kind: str
    shape: tuple[int, int]
    start: int
    common: dict[str, Any]
    each: dict[str, list[Any]]
    _file: int | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.each["video_id"])

    def about(self, row: int) -> dict[str, Any]:
        """Return the metadata of a row."""
        own = {name: values[row] for name, values in self.each.items() if values[row] is not None}
        return {name: value for name, value in {**self.common, **own}.items() if name not in ("checksum", "changed")}

    def read(self, row: int) -> Tensor:
        """Return the tokens of a row, float32, shape (N, D).

        Raises:
            UnusableError: If they are not the tokens that were written.
            ValueError: If the file cannot be read.
        """
        size = _KINDS[self.kind].itemsize * math.prod(self.shape)
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDONLY)
            content = os.pread(self._file, size, self.start + row * size)
        except OSError as error:
            raise ValueError(
                f"'{self.path}' cannot be read ({error.strerror or error}); check its permissions and the disk."
            ) from error
        if zlib.crc32(content) != self.each["checksum"][row]:
            raise UnusableError(f"'{self.path}' is damaged where it holds {self.each['video_id'][row]!r}")
        values = np.frombuffer(content, _KINDS[self.kind]).astype(np.float32)  # a copy that may be written
        return torch.from_numpy(values.reshape(self.shape))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}  # another process opens the file itself

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def open_shard(path: Path) -> Shard:
    """Return a shard; only its header is read.

    Raises:
        ValueError: If it is cut short or is not a shard.
    """
    try:
        with path.open("rb") as file:
            there = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _HEADER_LIMIT)))
        about, tokens = json.loads(header["__metadata__"]["cvqa"]), header["tokens"]
        count, rows, width = map(operator.index, tokens["shape"])
        end = count * rows * width * _KINDS[tokens["dtype"]].itemsize
        each, common = about["each"], dict(about["common"])
        listed = {len(values) for values in each.values()}
        known = all(isinstance(each[name][row], kind) for name, kind in _EACH.items() for row in range(min(listed)))
    except OSError as error:
        raise ValueError(
            f"'{path}' cannot be read ({error.strerror or error}); check its permissions and the disk."
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise _no_shard(path, "is damaged or no shard of features") from error
    if not known or tokens.get("data_offsets") != [0, end] or min(rows, width) < 1:
        raise _no_shard(path, "is no shard of features")
    if listed != {count}:
        raise _no_shard(path, f"lists {min(listed)} videos and holds {count}")
    if there != 8 + length + end:
        raise _no_shard(path, f"has {there} bytes instead of {8 + length + end}")
    return Shard(path, tokens["dtype"], (rows, width), 8 + length, common, each)


def _no_shard(path: Path, reason: str) -> ValueError:
    return ValueError(f"'{path}' {reason}; remove it and run `cvqa extract` again, or copy it anew.")


@dataclass(frozen=True)
class Row:
    """Features of one video, to be packed.

    Attributes:
        about: Their metadata: plain values, with `video_id`.
        tokens: Finite values, float32 or float16, shape (N, D).
        changed: `time_of_change` of the files from which they were made.
    """

    about: Mapping[str, Any]
    tokens: Tensor
    changed: int


def write_shard(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of the same shape and type as a shard, whole or not at all.

    Raises:
        ValueError: If the file cannot be written.
    """
    kind = "F16" if rows[0].tokens.dtype == torch.float16 else "F32"
    content = [row.tokens.contiguous().numpy().astype(_KINDS[kind], copy=False).tobytes() for row in rows]
    names = dict.fromkeys(name for row in rows for name in row.about)
    values = {name: [row.about.get(name) for row in rows] for name in names}
    common = {name: own[0] for name, own in values.items() if name != "video_id" and all(one == own[0] for one in own)}
    each = {
        **{name: own for name, own in values.items() if name not in common},
        "checksum": [zlib.crc32(one) for one in content],
        "changed": [row.changed for row in rows],
    }
    header = {
        "__metadata__": {"cvqa": json.dumps({"common": common, "each": each})},
        "tokens": {
            "dtype": kind,
            "shape": [len(rows), *rows[0].tokens.shape],
            "data_offsets": [0, sum(map(len, content))],
        },
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with whole(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for one in content:
            file.write(one)


class Pack:
    """The shards of a branch; if two hold the same video, the later one counts.

    Args:
        folder: Folder of the branch.

    Attributes:
        rows: Video -> its shard and row.
        loose: Names of the files of single videos, which are newer than the shards; empty if there are no shards.

    Raises:
        ValueError: If a shard is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self.shards = [open_shard(path) for path in shards_of(folder)]
        self.rows = {
            name: (number, row)
            for number, shard in enumerate(self.shards)
            for row, name in enumerate(shard.each["video_id"])
        }
        self.loose = {entry.name for entry in os.scandir(folder)} if self.shards else set()
        self._times = self._read_times() if self.shards else {}
        self._changed = False

    def changed(self, video_id: str) -> int:
        """Return `time_of_change` of the files from which a video's features were made."""
        shard, row = self.rows[video_id]
        return int(self._times.get(video_id, self.shards[shard].each["changed"][row]))

    def keep_time(self, video_id: str, changed: int) -> None:
        """Set another time for a video; `write_times` stores it."""
        self._times[video_id], self._changed = changed, True

    def write_times(self) -> None:
        """Write the times that were set, to a file next to the shards.

        Raises:
            ValueError: If the folder cannot be written.
        """
        if self._changed:
            write_text(self.folder / _TIMES, json.dumps(self._times))
            self._changed = False

    def _read_times(self) -> dict[str, int]:
        try:
            times = json.loads((self.folder / _TIMES).read_bytes())
        except (OSError, ValueError, RecursionError):  # the times only save work: they are a cheap first check
            return {}
        listed = times.items() if isinstance(times, dict) else ()
        return {name: time for name, time in listed if isinstance(time, int)}


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a branch in the order in which they were made."""
    return sorted((folder / FOLDER).glob("*.safetensors"))
