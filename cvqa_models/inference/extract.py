"""Write features of frozen branches to a store, with one decode per video; `extract_bulk` does so for a whole set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.table import Table
from cvqa_models.data.feature_store import FeatureStore, time_of_change
from cvqa_models.data.manifest import read_table_ids
from cvqa_models.data.shards import Shard, shard_of
from cvqa_models.files import sha256
from cvqa_models.messages import OF_A_FILE, follow, sentence_of
from cvqa_models.tables import numbers, read_csv
from cvqa_models.types import VideoRecord
from cvqa_models.video.copies import local_if
from cvqa_models.video.reader import ReadOptions, iter_clips
from cvqa_models.video.view import View
from cvqa_models.weights.exact import digest


@dataclass
class Extraction:
    """The result of an extraction.

    Attributes:
        written: Number of videos whose missing features were computed.
        present: Number of videos that already had all features.
        broken: Reason for each video that could not be read.
    """

    written: int = 0
    present: int = 0
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, record: VideoRecord, done: bool | str) -> None:
        """Count a video: whether something was written, or why it could not be read."""
        if isinstance(done, str):
            self.broken[record.video_id] = done
        else:
            self.written += done
            self.present += not done


def extract_features(
    branches: Mapping[str, Branch],
    records: Sequence[VideoRecord],
    store: FeatureStore,
    options: ReadOptions,
    *,
    shard: Shard = (0, 1),
    device: str = "cpu",
    skip_broken: bool = False,
) -> Extraction:
    """Write the tokens of every cacheable branch for every video of a shard; one decode per video.

    Args:
        branches: Name -> branch; branches without a cache key are ignored.
        records: Videos; a video of several groups is read once.
        store: Store to write to.
        options: How videos are read.
        shard: Number of this shard, from 0, and number of shards.
        device: Device on which the branches run.
        skip_broken: Whether unreadable videos are counted; otherwise they end the run.

    Raises:
        ValueError: If no branch can be cached, a video cannot be decoded, or the store cannot be written.
        FileNotFoundError: If a video is not there.
    """
    wanted = cacheable(branches, device)
    result = Extraction()
    for record in follow(videos_of_shard(records, shard), "extracting"):
        done = extract_video(wanted, record, store, options, device)
        if isinstance(done, Exception) and not skip_broken:
            raise done
        result.add(record, reason_of(record, done) if isinstance(done, Exception) else done)
    return result


def extract_video(
    wanted: Mapping[str, Branch], record: VideoRecord, store: FeatureStore, options: ReadOptions, device: str
) -> bool | Exception:
    """Write what the store lacks of a video; return whether that was anything, or why the video cannot be read.

    Args:
        wanted: Branches of `cacheable`.
        record: The video.
        store: Store to write to.
        options: How videos are read.
        device: Device of the branches.

    Raises:
        ValueError: If the store cannot be written.
    """
    try:
        missing = _missing(wanted, record, store)
        if not missing:
            return False
        changed = time_of_change(record.path, record.reference_path)
        with _local(record) as copied:
            tokens = _tokens(missing, copied, options, device)
            seen = _seen(copied, changed if copied is record else time_of_change(*_files(copied)))
    except OF_A_FILE as error:
        return error
    _write(missing, record, store, options.key, tokens, seen)  # outside `try`: not the fault of the video
    return True


def reason_of(record: VideoRecord, error: Exception) -> str:
    """Return in words why a video cannot be read."""
    return sentence_of(record.path or record.video_id, error)


def cacheable(branches: Mapping[str, Branch], device: str) -> dict[str, Branch]:
    """Return the branches that can be cached, on a device and in evaluation, each by its cache key.

    Raises:
        ValueError: If there is none.
    """
    wanted = {
        branch.demand.cache_key: branch.to(device).eval()
        for branch in branches.values()
        if branch.demand.cache_key is not None and branch.view is not None
    }
    if not wanted:
        raise ValueError("No branch can be cached; set `frozen: true` on a branch whose view is not random.")
    return wanted


def videos_of_shard(records: Sequence[VideoRecord], shard: Shard) -> list[VideoRecord]:
    """Return the videos of a shard, each once."""
    unique = {record.video_id: record for record in records}
    return [record for record in unique.values() if shard_of(record.video_id, shard[1]) == shard[0]]


def extract_table(path: Path, columns: list[str], store: Path) -> int:
    """Write chosen columns of a metric table as features, one token per video; return the number of videos.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If a column is missing or a value is not a finite number.
    """
    branch = Table(str(path), columns=columns)
    key = branch.demand.cache_key
    assert key is not None
    table = read_csv(path, branch.columns)
    values = torch.tensor([numbers(table, name, path).tolist() for name in branch.columns], dtype=torch.float32).T
    target = FeatureStore(store, "")
    metadata = {"branch": "Table", "columns": branch.columns, "table_sha256": sha256(path)}
    ids = read_table_ids(path)
    for video_id, row in zip(ids, values, strict=True):
        target.write(key, video_id, row[None], metadata)
    return len(ids)


def _missing(branches: Mapping[str, Branch], record: VideoRecord, store: FeatureStore) -> dict[str, Branch]:
    """Return the branches whose features of a video are missing, damaged, or made from another file of that name."""
    sources = {key: record.reference_path if _view(branch).with_reference else None for key, branch in branches.items()}
    return {
        key: branch
        for key, branch in branches.items()
        if not store.usable(key, record.video_id, record.path, sources[key])
    }


@contextmanager
def _local(record: VideoRecord) -> Iterator[VideoRecord]:
    """Yield a video whose files are on this machine, copied from an object store if need be."""
    with local_if(record.path) as path, local_if(record.reference_path) as reference:
        yield (
            record
            if path == record.path and reference == record.reference_path
            else replace(record, path=path, reference_path=reference)
        )


def _files(record: VideoRecord) -> tuple[str | None, str | None]:
    return record.path, record.reference_path


def _seen(record: VideoRecord, changed: int) -> dict[str, object]:
    """Return metadata by which the files of a video differ from other files of the same names.

    Raises:
        ValueError: If one of them has changed since the time `changed`.
    """
    assert record.path is not None  # it was just read
    seen: dict[str, object] = {
        "video_sha256": sha256(record.path),
        "video_bytes": Path(record.path).stat().st_size,
        "reference_sha256": sha256(record.reference_path) if record.reference_path is not None else None,
    }
    if time_of_change(record.path, record.reference_path) != changed:
        raise ValueError(f"'{record.path}' or its source was changed while it was read; extract again.")
    return seen


def _write(
    branches: Mapping[str, Branch],
    record: VideoRecord,
    store: FeatureStore,
    reading: str,
    tokens: Mapping[str, Tensor],
    seen: Mapping[str, object],
) -> None:
    for key, branch in branches.items():
        about = {
            "branch": f"{type(branch).__module__}.{type(branch).__qualname__}",
            "variant": branch.variant,
            "view": _view(branch).key,
            "weights": digest(branch),
            "reading": reading,
            **seen,
        }
        files = [record.path, record.reference_path]
        if not _view(branch).with_reference:
            del about["reference_sha256"], files[1]
        store.write(key, record.video_id, tokens[key], about, time_of_change(*files))


def _view(branch: Branch) -> View:
    assert branch.view is not None  # branches without a view are not extracted
    return branch.view


@torch.inference_mode()
def _tokens(
    branches: Mapping[str, Branch], record: VideoRecord, options: ReadOptions, device: str
) -> dict[str, Tensor]:
    """Return the tokens of each branch, (N, D).

    Each clip goes through the networks by itself, as soon as the decoder has filled it. So memory holds only one clip,
    and the bytes of a feature do not depend on which other branches are computed.
    """
    if record.path is None:
        raise ValueError(f"{record.video_id!r} has no file; give the folder of the videos to extract from.")
    views = {_view(branch).key: _view(branch) for branch in branches.values()}
    found: dict[str, dict[int, Tensor]] = {key: {} for key in branches}
    for view_key, index, clip in iter_clips(
        record.path, list(views.values()), options, reference=record.reference_path
    ):
        x = clip[None, None].to(device)
        for key, branch in branches.items():
            if _view(branch).key == view_key:
                found[key][index] = branch.tokens(x)[0].float().cpu()
    return {key: torch.cat([clips[index] for index in sorted(clips)]) for key, clips in found.items()}
