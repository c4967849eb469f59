"""Pack files of single videos into shards: a file is removed only after its shard is on the disk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from cvqa_models.data.feature_store import file_name, load_file
from cvqa_models.data.packed import FOLDER, Row, UnusableError, open_shard, shards_of, write_shard
from cvqa_models.files import sole_owner
from cvqa_models.messages import follow

SHARD_BYTES = 1 << 28  # largest size of a shard, which is held in memory


@dataclass
class Packing:
    """The result of packing.

    Attributes:
        videos: Branch -> number of videos that were packed now.
        shards: Number of shards that were written.
        loss: Branch -> root mean square of the error of float16, divided by that of the values.
        damaged: Reason for each file that was not packed.
    """

    videos: dict[str, int] = field(default_factory=dict)
    shards: int = 0
    loss: dict[str, float] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def loose_files(store: Path) -> dict[str, list[Path]]:
    """Return the files of single videos of each branch, sorted.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not store.is_dir():
        raise FileNotFoundError(f"There is no store '{store}'; give the folder that `cvqa extract` wrote to.")
    folders = sorted(path for path in store.iterdir() if path.is_dir())
    found = {folder.name: sorted(folder.glob("*.safetensors")) for folder in folders}
    return {name: files for name, files in found.items() if files}


def pack_store(
    store: str | Path,
    *,
    float16: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
) -> Packing:
    """Move the features of single videos into shards. If the run is killed, nothing is lost, and the next run goes on.

    A file that is written again meanwhile is kept, and is used in place of its older row.

    Args:
        store: Folder of the store.
        float16: Branches, by folder name or pattern, that are stored in half the bytes.
        shard_bytes: Largest size of a shard in bytes.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a pattern fits no branch, values are too large for float16, another process packs the store, or
            it cannot be written.
    """
    store = Path(store)
    files = loose_files(store)
    unknown = [pattern for pattern in float16 if not any(fnmatchcase(name, pattern) for name in files)]
    if unknown:
        raise ValueError(
            f"`float16` names {unknown[0]!r}, which is no branch with files to pack; '{store}' has "
            f"{', '.join(files) or 'none'}."
        )
    result = Packing()
    busy = f"'{store}' is being packed by another process; wait for it."
    with sole_owner(store / ".pack.lock", busy):
        packers = {
            branch: _Packer(
                store / branch, any(fnmatchcase(branch, pattern) for pattern in float16), shard_bytes, result
            )
            for branch in files
        }
        for branch, number, file in follow(_numbered(files), "packing", sum(map(len, files.values()))):
            packers[branch].add(file)
            if number == len(files[branch]):
                packers[branch].close()
    return result


def _numbered(files: Mapping[str, Sequence[Path]]) -> Iterator[tuple[str, int, Path]]:
    """Yield the branch of each file, its number in the branch, from 1, and the file."""
    for branch, own in files.items():
        yield from ((branch, number, file) for number, file in enumerate(own, start=1))


class _Packer:
    """Packs one branch into shards."""

    def __init__(self, folder: Path, half: bool, shard_bytes: int, result: Packing) -> None:
        self.folder, self.half, self.shard_bytes, self.result = folder, half, shard_bytes, result
        self._rows: list[Row] = []
        self._files: list[tuple[Path, tuple[int, int]]] = []
        self._lost = self._kept = 0.0

    def add(self, file: Path) -> None:
        try:
            seen = _state(file)
            row = self._row(file, seen[1])
        except UnusableError as error:
            self.result.damaged.append(error.reason)
            return
        if self._rows and row.tokens.shape != self._rows[0].tokens.shape:
            self._write()
        self._rows.append(row)
        self._files.append((file, seen))
        if row.tokens.nbytes * len(self._rows) >= self.shard_bytes:
            self._write()

    def close(self) -> None:
        """Write the remaining rows, and record the loss of float16."""
        self._write()
        if self._kept:
            self.result.loss[self.folder.name] = math.sqrt(self._lost / self._kept)

    def _row(self, file: Path, changed: int) -> Row:
        about, tokens = load_file(file)
        name = about.get("video_id")
        if not isinstance(name, str) or file_name(name) != file.stem:
            raise UnusableError(f"'{file}' is of {name!r}, which is another name")
        if not self.half:
            return Row(about, tokens, changed)
        shorter = tokens.half()
        if not torch.isfinite(shorter).all():
            raise ValueError(
                f"'{file}' holds {tokens.abs().max():g}, and float16 ends at 65504; pack this branch without "
                "`--float16`."
            )
        self._lost += float((tokens.double() - shorter.double()).square().sum())
        self._kept += float(tokens.double().square().sum())
        return Row(about, shorter, changed)

    def _write(self) -> None:
        """Write the held rows as the next shard, and then remove their files, except files that were written again."""
        if not self._rows:
            return
        there = shards_of(self.folder)
        number = int(there[-1].stem) + 1 if there else 0
        path = self.folder / FOLDER / f"{number:05d}.safetensors"
        write_shard(path, self._rows)
        open_shard(path)
        self.result.shards += 1
        self.result.videos[self.folder.name] = self.result.videos.get(self.folder.name, 0) + len(self._rows)
        for file, seen in self._files:
            with suppress(FileNotFoundError):
                if _state(file) == seen:
                    file.unlink()
        self._rows, self._files = [], []


def _state(file: Path) -> tuple[int, int]:
    """Return values by which a replaced file is recognised, and its time, which is that of its video."""
    found = file.stat()
    return found.st_ino, found.st_mtime_ns
