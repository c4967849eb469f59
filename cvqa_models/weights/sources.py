"""Record where the weights of each part of a model came from, and decide whether a constructor must read them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch

from cvqa_models.files import sha256
from cvqa_models.published import licence_of
from cvqa_models.weights.files import resolve

log = logging.getLogger(__name__)
_told: set[str] = set()


@dataclass(frozen=True)
class WeightSource:
    """Where the weights of a part of a model came from.

    Attributes:
        name: File, folder or name of weights as it was given; None for random numbers.
        trained: Whether training changes them.
        seed: Seed of the generator of the random numbers; None with a name.
    """

    name: str | None
    trained: bool = False
    seed: int | None = None

    @property
    def random(self) -> bool:
        """Return whether the weights are random numbers, which no file holds."""
        return self.name is None

    @property
    def here(self) -> bool:
        """Return whether the file, or the folder of a language model, is on this machine."""
        for name in (self.name, f"{self.name}/config.json") if self.name is not None else ():
            try:
                resolve(name)
            except FileNotFoundError:
                continue
            return True
        return False

    @property
    def sha256(self) -> str:
        """Return the digest of the file."""
        return sha256(resolve(str(self.name)))


class Sources(dict[str, WeightSource]):
    """Part of a model -> where its weights came from, as the constructor recorded it."""

    def take(self, part: str, weights: str | None, *, trained: bool) -> str | None:
        """Record where the weights of a part come from, and return the weights to read; see `to_read`.

        Args:
            part: Name of the part.
            weights: File or name of weights; None for random numbers.
            trained: Whether training changes them.
        """
        self[part] = WeightSource(weights, trained, torch.initial_seed() if weights is None else None)
        if weights is not None and torch.get_default_device().type != "meta":
            _say_licence(weights)
        return to_read(weights, trained=trained)


def _say_licence(weights: str) -> None:
    """Log, once per process, if weights and all that is made of them are not for commercial use."""
    licence = licence_of(weights)
    if licence is not None and licence.commercial is False and weights not in _told:
        _told.add(weights)
        log.warning("Weights '%s': %s.", weights, licence.text)


_Held = Literal["nothing", "trained parts", "all parts"]
_from_checkpoint: ContextVar[_Held] = ContextVar("what a checkpoint will fill", default="nothing")


def to_read(weights: str | None, *, trained: bool) -> str | None:
    """Return the weights that a constructor must read.

    On the meta device, which holds no numbers, nothing is read. Nor is a part that a checkpoint will fill; see
    `parts_from_checkpoint`.
    """
    filled = _from_checkpoint.get()
    held = filled == "all parts" or (trained and filled == "trained parts")
    return None if held or torch.get_default_device().type == "meta" else weights


@contextmanager
def parts_from_checkpoint(*, frozen: bool = False) -> Iterator[None]:
    """Build models in this block whose trained parts a checkpoint will fill: their files of start weights are not read.

    These files need not be on this machine.

    Args:
        frozen: Whether the checkpoint will fill frozen parts too.
    """
    token = _from_checkpoint.set("all parts" if frozen else "trained parts")
    try:
        yield
    finally:
        _from_checkpoint.reset(token)
