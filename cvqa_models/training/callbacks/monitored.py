"""Find a misspelt `monitor` before training, not after its first epoch."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint


class CheckMonitors(pl.Callback):
    """Check after the sanity check of validation that something logs the `monitor` of each callback."""

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise a ValueError for a monitor that nothing logs; those of training are not known yet, and pass."""
        known = sorted(trainer.callback_metrics)
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if not isinstance(callback, (EarlyStopping, ModelCheckpoint)):
                continue
            name = callback.monitor
            later = name in (None, "epoch", "step") or name.startswith("train/")
            if known and not later and name not in known:
                raise ValueError(
                    f"`{type(callback).__name__}` has `monitor` {name!r}, which nothing logs; expected one of "
                    f"{', '.join(known)}, or train/loss."
                )
