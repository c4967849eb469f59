"""Which part of a long list of videos this process takes, and on which device: set by hand, by torchrun or by SLURM."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

Shard = tuple[int, int]
"""The number of a part, from 0, and the number of parts."""


def shard_of(video_id: str, count: int) -> int:
    """Return the part, from 0, to which a video belongs; it stays the same when other videos are added."""
    return int.from_bytes(hashlib.sha256(video_id.encode("utf-8", "surrogateescape")).digest()[:8], "big") % count


def parse_shard(shard: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the shard that `i/n` names; without it, the shard that a launcher gave this process, else (0, 1).

    For torchrun, RANK and WORLD_SIZE are used; for SLURM, the tasks of an array, and in each of them the tasks of
    `srun`.

    Raises:
        ValueError: If it is not `i/n` with 1 <= i <= n.
    """
    if shard is not None:
        number, _, count = shard.partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise ValueError(f"`--shard` is {shard!r}; expected i/n with i from 1 to n, such as 1/4.")
        return int(number) - 1, int(count)
    if "RANK" in environment:
        return int(environment["RANK"]), int(environment.get("WORLD_SIZE", "1"))

    def told(name: str, default: int) -> int:
        return int(environment.get(f"SLURM_{name}", default))

    # The numbers of an array may start anywhere and have any step, as in `--array=10-40:10`.
    first = told("ARRAY_TASK_MIN", 0)
    job, tasks = (told("ARRAY_TASK_ID", first) - first) // told("ARRAY_TASK_STEP", 1), told("NTASKS", 1)
    return job * tasks + told("PROCID", 0), told("ARRAY_TASK_COUNT", 1) * tasks


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process among those that a launcher started on this machine, from 0."""
    return int(environment.get("LOCAL_RANK", environment.get("SLURM_LOCALID", "0")))
