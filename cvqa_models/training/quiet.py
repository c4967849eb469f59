"""Hide messages of Lightning that advertise, or that warn of what we do on purpose; each is matched by its text."""

from __future__ import annotations

import logging
import warnings

from lightning_utilities.core import rank_zero

MEANT = (
    r"Found \d+ module\(s\) in eval mode at the start of training",  # frozen branches
    r"It is recommended to use `self\.log\('(val|test)/.*sync_dist=True",  # scores are computed alike on every rank
    r"Checkpoint directory .* exists and is not empty",  # a run is resumed
    r"The dirpath has changed from",  # a run folder was moved
    r"You're using the WeightAveraging callback",  # a checkpoint holds the averaged weights as the model's weights
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # between Lightning and torch
)
ADVERTISED = "💡 Tip: For seamless cloud"


def keep_quiet() -> None:
    """Hide these warnings and advertisements for the rest of this process."""
    for text in MEANT:
        warnings.filterwarnings("ignore", message=text)
    rank_zero.log.addFilter(_no_advertisement)


def _no_advertisement(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(ADVERTISED)
