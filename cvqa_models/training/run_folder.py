"""The folder of a training run: who may write to it, and which of its checkpoints a name means."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from lightning_utilities.core.rank_zero import rank_zero_only

from cvqa_models.files import sole_owner
from cvqa_models.training.callbacks.checkpoints import BEST, LAST
from cvqa_models.training.checkpoint import read_checkpoint

log = logging.getLogger(__name__)

HPC = "hpc"
NAMES = (BEST, LAST, HPC)  # what `--ckpt_path` may say instead of a path


@contextmanager
def owned(run: Path) -> Iterator[None]:
    """Own a run folder until the block or this process ends, even if the process is killed.

    All ranks of a run are one owner: the first rank holds the lock.

    Raises:
        ValueError: If another run owns the folder, or it cannot be written.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    refusal = f"Another `fit` is under way in '{run}'; wait for its end, or choose another `--run`."
    with sole_owner(run / "run.lock", refusal):
        yield


def holds_run(run: Path) -> bool:
    """Return whether a folder holds logs or checkpoints of a run."""
    return (run / "logs").exists() or bool(_files(run))


def interrupted(run: Path) -> bool:
    """Return whether the scheduler (SLURM) interrupted a run; it starts the same command again."""
    return any(run.glob("hpc_ckpt_*.ckpt"))


def find_checkpoint(run: Path, name: str, *, to_train: bool = False) -> Path | None:
    """Return the checkpoint that a name of `NAMES` means.

    `best` is the one with the best `val/result`. `last` is the newest that can be read. `hpc` is the newest that was
    written when a scheduler (SLURM) announced the end of a job. The log names newer ones that cannot be read.

    Args:
        run: Folder of the run.
        name: One of `NAMES`.
        to_train: Skip files that hold only weights, from which training cannot go on.

    Returns:
        The file; None if the run has not written any yet.

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
        # In older versions the name of the best file held its epoch and result.
        BEST: [*checkpoints.glob("best.ckpt")] or [*checkpoints.glob("epoch*-result*.ckpt")],
        LAST: [*checkpoints.glob("*.ckpt"), *hpc],
        HPC: hpc,
    }[name]
    return sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)


def training_log(run: Path) -> pd.DataFrame | None:
    """Return what a run has logged, in order, resumed parts last; None if there is no log.

    The last line of a killed run may be cut short; it is left out.
    """
    parts = sorted(run.glob("logs*/metrics.csv"), key=lambda path: (len(path.parent.name), path.parent.name))
    texts = [text[: text.rfind("\n") + 1] for text in (path.read_text(encoding="utf-8") for path in parts)]
    logs = [pd.read_csv(io.StringIO(text)) for text in texts if text.strip()]
    return pd.concat(logs) if logs else None
