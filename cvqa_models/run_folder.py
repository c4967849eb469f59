"""The folder of a training run: who may write to it, and which of its checkpoints a name means."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_only

from cvqa_models.callbacks.checkpoints import BEST, LAST
from cvqa_models.models.checkpoint import read_checkpoint

log = logging.getLogger(__name__)

HPC = "hpc"
NAMES = (BEST, LAST, HPC)  # what `--ckpt_path` may say instead of a path


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Own a run folder until the block ends, or this process does, however it ends.

    The system gives the lock back when its owner dies. All ranks of a run are one owner: the first rank holds the lock.

    Raises:
        ValueError: If another run owns the folder.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another `fit` is under way in '{run}'; wait for its end, or choose another `--run`."
        ) from None
    try:
        yield
    finally:
        lock.release()


def holds_run(run: Path) -> bool:
    """Return whether a folder holds logs or checkpoints of a run."""
    return (run / "logs").exists() or bool(_files(run))


def interrupted(run: Path) -> bool:
    """Return whether a run was put off by its scheduler (SLURM), which starts the same command again."""
    return any(run.glob("hpc_ckpt_*.ckpt"))


def find_checkpoint(run: Path, name: str, *, to_train: bool = False) -> Path | None:
    """Return the checkpoint that a name of `NAMES` means.

    `best` is the one of the best `val/result`, `last` the newest that can be read, `hpc` the newest of those that were
    written because a scheduler (SLURM) announced the end of a job. Newer ones that cannot be read are named in the log.

    Args:
        run: Folder of the run.
        name: Which one.
        to_train: Pass over files that hold weights alone, from which training cannot go on.

    Returns:
        The file; None if the run has written none so far.

    Raises:
        ValueError: If there are some, and none of them can be read.
    """
    reasons: list[str] = []
    for path in _files(run, name):
        reason = _reason_against(path, to_train)
        if reason is None:
            for passed_over in reasons:
                log.warning("passed over: %s", passed_over)
            return path
        reasons.append(reason)
    if reasons:
        raise ValueError(
            f"'{run}' has no `{name}` checkpoint that can be used (the newest: {reasons[0].rstrip('.')}); name another "
            "file, or start anew in another `--run`."
        )
    return None


def _reason_against(path: Path, to_train: bool) -> str | None:
    try:
        content = read_checkpoint(path)
    except (ValueError, OSError) as error:
        return str(error)
    if to_train and "optimizer_states" not in content:
        return f"'{path}' holds weights alone, from which training cannot go on."
    return None


def _files(run: Path, name: str = LAST) -> list[Path]:
    """Return the checkpoints that a name may mean, the newest first."""
    checkpoints, hpc = run / "checkpoints", list(run.glob("hpc_ckpt_*.ckpt"))
    files = {
        # Until there was one name for it, that of the best file said its epoch and result.
        BEST: [*checkpoints.glob("best.ckpt")] or [*checkpoints.glob("epoch*-result*.ckpt")],
        LAST: [*checkpoints.glob("*.ckpt"), *hpc],
        HPC: hpc,
    }[name]
    return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
