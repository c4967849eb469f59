"""Extract the features of a configuration's videos in processes of their own, so that no video ends the run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.shards import Shard
from cvqa_models.data.workers import Died, run_each
from cvqa_models.inference.bulk import LIMIT, stopped
from cvqa_models.inference.extract import Extraction, cacheable, extract_video, reason_of, videos_of_shard
from cvqa_models.inference.scorer import own_device
from cvqa_models.messages import follow, log_to_stderr, sentence
from cvqa_models.training.configured import Configured
from cvqa_models.types import VideoRecord


@dataclass(frozen=True)
class Unwritten:
    """The store cannot be written; it ends the run.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True)
class ExtractJob:
    """All that a process needs to extract features. It can be pickled; the branches are built at the first video.

    Attributes:
        config: Configuration files.
        store: Folder of the store; None for that of the configuration.
        device: Torch device.
        trust: Packages whose classes may be built.
    """

    config: tuple[Path, ...]
    store: Path | None
    device: str
    trust: tuple[str, ...] = ()

    def open(self) -> tuple[Any, Any, FeatureStore]:
        """Return the model, the data module and the store.

        Raises:
            FileNotFoundError: If a file is not there.
            ValueError: If the configuration is not valid, or names no store.
        """
        configured = Configured(list(self.config), trusted=self.trust)
        model, data = configured.build(configured.seed)
        store = FeatureStore(self.store, data.options.key) if self.store is not None else data.store
        if store is None:
            raise ValueError("There is no store; give `--store FOLDER`, or `data.store` in the configuration.")
        return model, data, store

    def __call__(self, record: VideoRecord) -> bool | str | Unwritten:
        """Return whether features of a video were written, or why it cannot be read, or the store not be written."""
        wanted, data, store = vars(self).get("_opened") or self._opened_here()
        try:
            done = extract_video(wanted, record, store, data.options, self.device)
        except (ValueError, OSError) as error:
            return Unwritten(sentence(error))
        return reason_of(record, done) if isinstance(done, Exception) else done

    def _opened_here(self) -> tuple[Any, Any, FeatureStore]:
        import torch

        log_to_stderr()
        torch.set_num_threads(1)  # features of more threads differ in the last digits
        model, data, store = self.open()
        object.__setattr__(self, "_opened", (cacheable(model.each_branch(), self.device), data, store))
        return vars(self)["_opened"]  # type: ignore[no-any-return]


def extract(
    config: Sequence[Path],
    *,
    store: str | Path | None = None,
    shard: Shard = (0, 1),
    device: str | None = None,
    trust: Sequence[str] = (),
    workers: int | None = None,
    limit: float = LIMIT,
) -> tuple[FeatureStore, Extraction]:
    """Write the features of all frozen branches of a configuration; existing features are not computed again.

    It starts processes, so a program calls it below `if __name__ == "__main__":`.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        store: Folder of the store; by default `data.store` of the configuration.
        shard: The part of the videos for this process, from 0, and the number of parts.
        device: Torch device; by default a GPU if there is one.
        trust: Your own packages whose classes the configuration may build; their code is run.
        workers: Number of processes, each of which decodes, and holds the networks; by default one per core, and one
            in all on a GPU.
        limit: Seconds for one video; this includes the start of its process.

    Returns:
        The store, and the result. A video that cannot be read, hangs or kills its process is named there.

    Raises:
        ValueError: If the configuration is not valid, or names no store or no branch that can be cached; if `workers`
            or `limit` is not positive; if the store cannot be written.
        FileNotFoundError: If a file is not there.
    """
    device = device or own_device()
    usual = len(os.sched_getaffinity(0)) if device == "cpu" else 1
    count = workers if workers is not None else usual
    if count < 1 or limit <= 0:
        raise ValueError(f"`workers` is {count} and `limit` {limit:g}; expected at least 1, and more than 0 seconds.")
    job = ExtractJob(tuple(config), Path(store) if store is not None else None, device, tuple(trust))
    model, data, target = job.open()
    cacheable(model.each_branch(), "cpu")
    videos, result = videos_of_shard(data.source.records(), shard), Extraction()
    imported = [name for name in sys.modules if name.partition(".")[0] in ("cvqa_models", "timm")]  # by `open`
    for position, done in follow(run_each(job, videos, count, limit, imported), "extracting", len(videos)):
        record = videos[position]
        if isinstance(done, Unwritten):
            raise ValueError(done.reason)
        result.add(record, stopped(record.path or record.video_id, done) if isinstance(done, Died) else done)
    return target, result
