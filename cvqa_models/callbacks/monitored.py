"""A misspelt `monitor` is found before training, not after the first epoch of it."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class CheckMonitors(pl.Callback):
    """Look, after the first look at validation data, whether each callback's `monitor` is a value of validation."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise a ValueError for a monitor of validation that nothing logs; those of training are not known yet."""
        known = sorted(trainer.callback_metrics)
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if not isinstance(callback, (EarlyStopping, ModelCheckpoint)):
                continue
            name = callback.monitor
            if known and name is not None and name not in known and not name.startswith(("train/", "epoch", "step")):
                raise ValueError(
                    f"`{type(callback).__name__}` has `monitor` {name!r}, which nothing logs; expected one of "
                    f"{', '.join(known)}, or train/loss."
                )
