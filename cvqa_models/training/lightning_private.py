"""The only place where private names of Lightning are used; each is wrapped in a function of ours.

Lightning may change them in any release. So `pyproject.toml` keeps its version below the next one, and
`tests/unit/training/test_lightning_private.py` fails first when one of them no longer does what we need.
"""

from __future__ import annotations

import signal

import pytorch_lightning as pl
from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.core.mixins.hparams_mixin import _given_hyperparameters


def built_by_command_line() -> bool:
    """Return whether Lightning's command line is building a model now, and so has its arguments as plain values."""
    return _given_hyperparameters.get() is not None


def trainer_of(module: pl.LightningModule) -> pl.Trainer | None:
    """Return the trainer of a module, or None before it has one; the public property raises an error then."""
    return module._trainer


def forget_loader(trainer: pl.Trainer) -> None:
    """Make training build its loader again when it starts: only then are the counters of a resumed run restored."""
    trainer.fit_loop._combined_loader = None


def cluster_environment(trainer: pl.Trainer) -> ClusterEnvironment | None:
    """Return the cluster of a trainer, None if it has none; a strategy for one device has no attribute for it."""
    return trainer._accelerator_connector.cluster_environment


def queue_again(trainer: pl.Trainer) -> None:
    """Save a checkpoint and ask SLURM to queue this job again, as Lightning does at the scheduler's signal."""
    trainer._signal_connector._slurm_sigusr_handler_fn(signal.SIGUSR1, None)  # type: ignore[arg-type]
