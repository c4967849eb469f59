"""Score many videos in several processes. Each row is written at once, and a second run goes on where it stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from cvqa_models.data.manifest import read_manifest
from cvqa_models.data.rows import Row, appending, finished, part_path
from cvqa_models.data.shards import Shard, shard_of
from cvqa_models.data.videos import EXTENSIONS, find_videos
from cvqa_models.data.workers import Died, run_each
from cvqa_models.messages import OF_A_FILE, follow, sentence_of
from cvqa_models.remote import beside, list_remote, read_remote, remote
from cvqa_models.types import Precision
from cvqa_models.video.reader import ReadOptions

log = logging.getLogger(__name__)

LIMIT = 1800.0
"""Seconds after which a video is given up; this includes the start of its process."""

IMPORTED = ("cvqa_models.inference.load", "cvqa_models.inference.bulk")
"""Modules that every process of a job needs."""


@dataclass(frozen=True)
class Job:
    """All that a process needs to score videos. It can be pickled; the model is built at the first video.

    Attributes:
        model: Name or path of the model, as for `load`.
        config: Configuration of a system that needs no training, in place of `model`.
        reference: The source of all videos, for full-reference systems.
        device: Torch device, such as `cuda:1`.
        precision: Arithmetic.
        reading: How files are decoded.
        trust: Packages whose classes may be built.
        threads: Threads of the network on the processor.
    """

    model: str | Path
    config: tuple[Path, ...] = ()
    reference: Path | None = None
    device: str = "cpu"
    precision: Precision = "32-true"
    reading: ReadOptions = field(default_factory=ReadOptions)
    trust: tuple[str, ...] = ()
    threads: int = 1

    def scorer(self) -> Any:
        """Return a scorer.

        Raises:
            FileNotFoundError: If nothing has that name.
            ValueError: If it is not a trained model, or there is no such device.
        """
        from cvqa_models.inference.load import load
        from cvqa_models.inference.scorer import Scorer

        chosen: dict[str, Any] = {"device": self.device, "precision": self.precision, "reading": self.reading}
        if not self.config:
            return load(self.model, trust=self.trust, **chosen)
        from cvqa_models.inference.trained import configured_model

        return Scorer(configured_model(self.config, trust=self.trust), **chosen)

    def __call__(self, video: tuple[str, str]) -> Row:
        """Return the row of a video, given as its id and its path or address."""
        import torch

        torch.set_num_threads(self.threads)
        scorer = vars(self).get("_scorer") or self.scorer()
        object.__setattr__(self, "_scorer", scorer)
        (name, path), by = video, made_by(scorer, self.device)
        try:
            found = scorer(path, reference=self.reference)
        except OF_A_FILE as error:
            return {"video": name, "fault": sentence_of(path, error), "by": by}
        row: Row = {"video": name, "score": found.value, **found.details}
        return {**row, "notes": list(found.notes), "seconds": found.duration, "by": by}


def made_by(scorer: Any, device: str) -> str:
    """Return all that a score depends on besides the video, from the model to the version of this package.

    Rows can be compared only if these are equal.
    """
    from cvqa_models import __version__

    kind, curve = device.partition(":")[0], scorer.model.calibration
    weights = scorer.weights[:16] + ("" if curve is None else f"+{sha256(repr(curve).encode()).hexdigest()[:8]}")
    return " ".join([scorer.model.kind, weights, scorer.reading.key, scorer.precision, kind, __version__])


@dataclass
class Done:
    """The result of a run.

    Attributes:
        scored: Number of videos that got a score.
        present: Number of videos that already had a row.
        faults: Reason for each video that has no score, in this or an earlier run.
    """

    scored: int = 0
    present: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def listed(words: Sequence[str | Path]) -> list[tuple[str, str]]:
    """Return (id, path or address) of each video that files, folders, lists, manifests and addresses name.

    The id is the path as given, found or listed; in a manifest it is the `video_id`. A list (`.txt`) holds one file per
    line, relative to the list's folder.

    Raises:
        FileNotFoundError: If there is no such list or manifest.
        ValueError: If a folder, list or manifest names no video, or is malformed.
    """
    return [pair for word in words for pair in _videos_of(str(word))]


def videos_of(words: Sequence[str | Path]) -> dict[str, str]:
    """Return id -> path or address of the videos of `listed`, each once.

    Raises:
        FileNotFoundError: If there is no such list or manifest.
        ValueError: If a folder, list or manifest names no video or is malformed, or two files have the same id.
    """
    found: dict[str, str] = {}
    pairs = listed(words)
    for name, path in pairs:
        if found.setdefault(name, path) != path:
            raise ValueError(f"{name!r} stands for '{found[name]}' and for '{path}'; give each video an id of its own.")
    if len(found) < len(pairs):
        log.warning("%d entries stand more than once; each is taken once", len(pairs) - len(found))
    return found


def _videos_of(word: str) -> Iterator[tuple[str, str]]:
    path = Path(word)
    address = remote(word)
    if word.startswith(("http://", "https://")):
        yield word, word
    elif address is not None and path.suffix.lower() not in (".csv", ".txt"):
        yield from ((video, video) for video in _stored(address))
    elif path.is_dir():
        yield from ((str(video), str(video)) for video in find_videos(path))
    elif path.suffix.lower() == ".csv":
        yield from _named(word, [(record.video_id, record.path) for record in read_manifest(path)])
    elif path.suffix.lower() == ".txt":
        content = path.read_bytes() if address is None else read_remote(address)
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
        yield from _named(word, [(line, _beside(word, line)) for line in lines if line])
    else:
        yield word, word


def _named(table: str, pairs: Sequence[tuple[str, str | None]]) -> list[tuple[str, str]]:
    found = [(name, path) for name, path in pairs if path is not None]
    if not found:
        raise ValueError(f"'{table}' names no video; expected a column `path` beside `video_id`, or a file a line.")
    return found


def _stored(address: str) -> list[str]:
    """Return an address that ends as a video does, else the videos below it."""
    if PurePosixPath(address).suffix.lower() in EXTENSIONS and not address.endswith("/"):
        return [address]
    videos = [one for one in list_remote(address) if PurePosixPath(one).suffix.lower() in EXTENSIONS]
    if not videos:
        raise ValueError(f"'{address}' holds no video; expected files such as .mp4, .mkv, .webm or .h265.")
    return videos


def _beside(table: str, line: str) -> str:
    if line.startswith(("http://", "https://")):
        return line
    return beside(table, line) or str(Path(table).parent / line)


def run_bulk(
    job: Callable[[tuple[str, str]], Row],
    videos: Mapping[str, str],
    out: Path,
    by: str,
    *,
    shard: Shard = (0, 1),
    workers: int | None = None,
    limit: float = LIMIT,
    retry: bool = False,
) -> Done:
    """Write a row for each video of a shard that has none yet.

    Args:
        job: Makes a row; it is called in separate processes.
        videos: Id -> path or address.
        out: The output; with several shards, each has its own file next to it; see `part_path`.
        by: What makes the rows, as written in them (see `made_by`).
        shard: The part of this process, and the number of parts.
        workers: Number of processes; one per core by default.
        limit: Seconds for one video.
        retry: Whether videos with a fault in place of a score are tried again.

    Raises:
        ValueError: If `workers` or `limit` is not positive, the output holds rows of another model, or it cannot be
            written.
    """
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    if count < 1 or limit <= 0:
        raise ValueError(f"`workers` is {count} and `limit` {limit:g}; expected at least 1, and more than 0 seconds.")
    result = Done()
    with appending(part_path(out, shard)) as append:
        own = [pair for pair in videos.items() if shard_of(pair[0], shard[1]) == shard[0]]
        there = {name: fault for name, fault in finished(out, by).items() if not (retry and fault)}
        left = [pair for pair in own if pair[0] not in there]
        result.present = len(own) - len(left)
        result.faults.update({name: there[name] for name, _ in own if there.get(name)})
        found_each = run_each(job, left, min(count, len(left)), limit, IMPORTED)
        for position, found in follow(found_each, "scoring", len(left)):
            name, path = left[position]
            row = {"video": name, "fault": stopped(path, found), "by": by} if isinstance(found, Died) else found
            append(row)
            if "fault" in row:
                result.faults[name] = row["fault"]
            else:
                result.scored += 1
    return result


def stopped(path: str, how: Died) -> str:
    """Return in words why the process that read a video gave no result."""
    if how.limit is not None:
        return f"'{path}': its decoder was stopped after {how.limit:g} s; raise `--limit`, or look at the file."
    return f"'{path}' ended the process that read it ({how}); copy or encode it again."
