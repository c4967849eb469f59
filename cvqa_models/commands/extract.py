"""`cvqa extract`: features of frozen branches into a store, one decode per video, resumable and sharded."""

from __future__ import annotations

import json as json_format
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.table import Table
from cvqa_models.commands.configured import Configured
from cvqa_models.csv_table import numbers, read_csv
from cvqa_models.data.atomic import write_text
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.feature_store import FeatureStore, time_of_change
from cvqa_models.data.files import sha256
from cvqa_models.data.manifest import read_table_ids
from cvqa_models.ending import MISTAKE
from cvqa_models.mistakes import OF_A_FILE, sentence_of
from cvqa_models.models.module import QualityModule
from cvqa_models.terminal import say
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions, iter_clips
from cvqa_models.weights import digest


@dataclass
class Extraction:
    """What an extraction did.

    Attributes:
        written: Videos whose missing features were computed.
        present: Videos that had everything already.
        broken: Reason for each video that could not be read.
    """

    written: int = 0
    present: int = 0
    broken: dict[str, str] = field(default_factory=dict)


def extract(
    *,
    config: list[Path] | None = None,
    from_table: Path | None = None,
    columns: list[str] | None = None,
    store: Path | None = None,
    shard: str | None = None,
    device: str | None = None,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> int:
    """Compute the features of all frozen branches into a store; what is there already is not computed again.

    With `data.skip_broken` videos that cannot be read are named at the end, and the exit code is 2.

    Start one process per shard, on any number of machines that share the store; under torchrun each rank takes its own.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        from_table: Take measured values from this CSV instead, for branches of the class `Table`.
        columns: With `from_table`: columns, by name or pattern such as 'NR *'.
        store: Folder of the store; `data.store` of the configuration if left out.
        shard: `i/n`: the i-th of n parts, counted from 1.
        device: Torch device; a GPU where there is one if left out.
        json: File for the result: store, numbers of videos written and there before, and the broken ones with reasons.
        trust: Your own packages whose classes the configuration may build; their code is run.
    """
    if from_table is not None:
        if columns is None or store is None:
            raise ValueError("`--from-table` needs `--columns` and `--store`.")
        count = extract_table(from_table, columns, store)
        say(f"{count} videos written to {store}")
        _write_json(json, store, Extraction(written=count))
        return 0
    if not config:
        raise ValueError("Give `--config FILE...` as for `train.py`, or `--from-table TABLE`.")
    model, data = build(config, trust or [])
    target = FeatureStore(store, data.options.key) if store is not None else data.store
    if target is None:
        raise ValueError("There is no store; give `--store FOLDER`, or `data.store` in the configuration.")
    result = extract_features(
        model.each_branch(),
        data.source.records(),
        target,
        data.options,
        shard=parse_shard(shard),
        device=device or default_device(),
        skip_broken=data.skip_broken,
    )
    say(f"{result.written} videos written to {target.root}, {result.present} were there, {len(result.broken)} broken")
    _write_json(json, target.root, result)
    for video_id, reason in result.broken.items():
        say(f"cvqa: {video_id!r} is left out: {reason}", stderr=True)
    return MISTAKE if result.broken else 0


def _write_json(path: Path | None, store: Path, result: Extraction) -> None:
    if path is not None:
        write_text(path, json_format.dumps({"store": str(store), **asdict(result)}, indent=1) + "\n")


def extract_features(
    branches: Mapping[str, Branch],
    records: Sequence[VideoRecord],
    store: FeatureStore,
    options: ReadOptions,
    *,
    shard: tuple[int, int] = (0, 1),
    device: str = "cpu",
    skip_broken: bool = False,
) -> Extraction:
    """Write the tokens of every cacheable branch for every video of a shard; one decode per video.

    Args:
        branches: Name -> branch; those without a cache key are passed over.
        records: Videos; one that stands in several groups is read once.
        store: Where the tokens go.
        options: How videos are read.
        shard: Number of this shard, counted from 0, and number of shards.
        device: Where the branches run.
        skip_broken: Whether unreadable videos are counted instead of ending the run.

    Raises:
        ValueError: If no branch can be cached, a video cannot be decoded, or the store cannot be written.
        FileNotFoundError: If a video is not there.
    """
    wanted = {
        branch.demand.cache_key: branch.to(device).eval()
        for branch in branches.values()
        if branch.demand.cache_key is not None and not isinstance(branch, Table)
    }
    if not wanted:
        raise ValueError("No branch can be cached; set `frozen: true` on a branch whose view is not random.")
    videos = list({record.video_id: record for record in records}.values())[shard[0] :: shard[1]]
    result = Extraction()
    for record in track(videos, "extracting", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        try:
            missing = _missing(wanted, record, store)
            if not missing:
                result.present += 1
                continue
            changed = time_of_change(record.path, record.reference_path)
            tokens = _tokens(missing, record, options, device)
            seen = _seen(record, changed)
        except OF_A_FILE as error:
            if not skip_broken:
                raise
            result.broken[record.video_id] = sentence_of(record.path or record.video_id, error)
            continue
        _write(missing, record, store, options.key, tokens, seen)  # what a disk refuses is no fault of the video
        result.written += 1
    return result


def extract_table(path: Path, columns: list[str], store: Path) -> int:
    """Write chosen columns of a metric table as features, one token per video; return the number of videos.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If a column is missing or a value is no finite number.
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


def build(config: list[Path], trusted: Sequence[str] = ()) -> tuple[QualityModule, GroupDataModule]:
    """Return the model and the data module of configuration files for `train.py`, and its random weights, too.

    Raises:
        ValueError: If a key is unknown or a value has the wrong type.
        FileNotFoundError: If a file is not there.
    """
    configured = Configured(config, trusted=trusted)
    return configured.build(configured.seed)


def parse_shard(shard: str | None) -> tuple[int, int]:
    """Return (number from 0, count) of `i/n`; without it the rank and world size that torchrun sets, else (0, 1).

    Raises:
        ValueError: If it is not `i/n` with 1 <= i <= n.
    """
    if shard is None:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    number, _, count = shard.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise ValueError(f"`--shard` is {shard!r}; expected i/n with i from 1 to n, such as 1/4.")
    return int(number) - 1, int(count)


def default_device() -> str:
    """Return the GPU of this rank where there is one, else the CPU."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def _missing(branches: Mapping[str, Branch], record: VideoRecord, store: FeatureStore) -> dict[str, Branch]:
    """Return the branches whose features of a video are not there, damaged, or of another file of its name."""
    sources = {key: record.reference_path if branch.view.with_reference else None for key, branch in branches.items()}
    return {
        key: branch
        for key, branch in branches.items()
        if not store.usable(key, record.video_id, record.path, sources[key])
    }


def _seen(record: VideoRecord, changed: int) -> dict[str, object]:
    """Return what tells the files of a video from others of their names.

    Raises:
        ValueError: If one of them is not what it was at the time `changed`.
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
            "view": branch.view.key,
            "weights": digest(branch),
            "reading": reading,
            **seen,
        }
        files = [record.path, record.reference_path]
        if not branch.view.with_reference:
            del about["reference_sha256"], files[1]
        store.write(key, record.video_id, tokens[key], about, time_of_change(*files))


@torch.inference_mode()
def _tokens(
    branches: Mapping[str, Branch], record: VideoRecord, options: ReadOptions, device: str
) -> dict[str, Tensor]:
    """Return the tokens of each branch, (N, D).

    A clip goes through the networks as soon as the decoder has filled it, alone: memory stays that of one clip, and
    the bytes of a feature do not depend on which other branches were missing.
    """
    if record.path is None:
        raise ValueError(f"{record.video_id!r} has no file; give the folder of the videos to extract from.")
    views = {branch.view.key: branch.view for branch in branches.values()}
    found: dict[str, dict[int, Tensor]] = {key: {} for key in branches}
    for view_key, index, clip in iter_clips(
        record.path, list(views.values()), options, reference=record.reference_path
    ):
        x = clip[None, None].to(device)
        for key, branch in branches.items():
            if branch.view.key == view_key:
                found[key][index] = branch.tokens(x)[0].float().cpu()
    return {key: torch.cat([clips[index] for index in sorted(clips)]) for key, clips in found.items()}
