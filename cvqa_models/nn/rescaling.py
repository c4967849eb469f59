"""Curves from a network's raw score to the number that its authors report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

LARGEST = 4096  # bytes that a file with four numbers may have


@dataclass(frozen=True)
class Logistic:
    """The logistic curve by which authors put raw scores on a scale; it keeps their order.

    low + (high - low) / (1 + exp(-(raw - middle) / |width|)). In FAST-VQA `middle` and `width` are the mean and
    deviation of raw scores on a data set, and the scale is 0 to 1. With all four numbers fitted, it gives the scale of
    subjective scores.

    Attributes:
        middle: Raw score that becomes the middle of the scale.
        width: Difference of the raw score between the middle and 0.73 of the scale; its sign is ignored.
        low: Lower end of the scale.
        high: Upper end of the scale.

    Raises:
        ValueError: If a number is not finite, or `width` is 0.
    """

    middle: float
    width: float
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value):
                raise ValueError(f"`{name}` of the rescaling is {value}; expected a finite number.")
        if self.width == 0:
            raise ValueError("`width` of the rescaling is 0; expected how far raw scores spread.")

    def __call__(self, raw: Tensor) -> Tensor:
        """Return rescaled scores, float, of the shape of `raw`."""
        return self.low + (self.high - self.low) * self.standardised(raw).sigmoid()

    def standardised(self, raw: Tensor) -> Tensor:
        """Return by how many widths raw scores are above the middle, float, of the shape of `raw`."""
        return (raw - self.middle) / abs(self.width)


class FittedLogistic(nn.Module):
    """The logistic curve with four numbers, which authors fit to subjective scores and publish in a separate file.

    b2 + (b1 - b2) / (1 + exp(-(raw - b3) / |b4|)), in double precision, as their programs compute it. The numbers are a
    buffer: a checkpoint holds them, so it does not need the file.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64))

    def read(self, path: Path) -> None:
        """Read b1 to b4 from a file of `numpy.save`; b1 is the limit for high raw scores.

        Raises:
            ValueError: If the file is of another kind or damaged, or does not hold four finite numbers with b4 not 0.
                Pickled objects are not read.
        """
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError("it is larger than four numbers are")
            # A memory-mapped array cannot claim to be larger than its file.
            fitted = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError, OSError, TypeError, SyntaxError, OverflowError) as error:
            raise ValueError(f"'{path}' is no file of `numpy.save` with numbers ({error}); fetch it again.") from error
        if fitted.shape != (4,) or fitted.dtype.kind not in "fiu" or not np.isfinite(fitted).all() or fitted[3] == 0:
            raise ValueError(
                f"'{path}' holds {fitted.dtype} of shape {fitted.shape}; expected the four finite "
                "numbers of a curve, the last of them not 0."
            )
        self.fitted.copy_(torch.from_numpy(fitted.astype(np.float64)))

    def forward(self, raw: Tensor) -> Tensor:
        """Return rescaled scores, of the shape and type of `raw`."""
        high, low, middle, width = self.fitted
        scaled: Tensor = low + (high - low) * ((raw.double() - middle) / width.abs()).sigmoid()
        return scaled.to(raw.dtype)
