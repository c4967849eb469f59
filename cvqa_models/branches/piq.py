"""How far key frames are from the source: the ten full-reference measures of PIQ that MMF fuses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_chunks
from cvqa_models.video.frames import KeyFrames, Sampling
from cvqa_models.video.pixels import Native
from cvqa_models.video.view import View

Measure = Literal["vsi", "fsim", "haarpsi", "gmsd", "ms_gmsd", "ssim", "ms_ssim", "dss", "srsim", "mdsi"]


@dataclass(frozen=True)
class _About:
    """A measure of PIQ: its function, 1 where larger is better, else -1, and the shortest side that it can take."""

    function: str
    sign: int
    smallest: int


MEASURES: dict[Measure, _About] = {
    "vsi": _About("vsi", 1, 1),
    "fsim": _About("fsim", 1, 2),
    "haarpsi": _About("haarpsi", 1, 16),
    "gmsd": _About("gmsd", -1, 1),
    "ms_gmsd": _About("multi_scale_gmsd", -1, 17),
    "ssim": _About("ssim", 1, 11),
    "ms_ssim": _About("multi_scale_ssim", 1, 161),
    "dss": _About("dss", 1, 8),
    "srsim": _About("srsim", 1, 40),
    "mdsi": _About("mdsi", -1, 1),
}


class Piq(Branch):
    """Tokens of key frames beside the source's: measures of PIQ in its own scales, all so that larger is better.

    GMSD, MS-GMSD and MDSI are distances and are negated. Nothing is learnt, and nothing needs weights. The numbers are
    PIQ's: its SSIM, for one, first averages 1080p frames down by 4, which other libraries do not.

    Args:
        measures: Which, in the order of the token; null takes all ten.
        num_frames: Key frames per video.
        sampling: Which key frames of a long video, see `KeyFrames`.
    """

    def __init__(
        self, measures: Sequence[Measure] | None = None, *, num_frames: int = 8, sampling: Sampling = "even"
    ) -> None:
        chosen: list[Measure] = list(MEASURES if measures is None else measures)
        view = View(KeyFrames(num_frames, sampling), Native(), with_reference=True)
        super().__init__(view, len(chosen), frozen=True, variant="+".join(chosen))
        self.measures = chosen

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 6, 1, H, W).

        Raises:
            ValueError: If frames are smaller than a measure allows, PIQ is not installed, or a value is not finite.
        """
        # One at a time: a 1080p frame takes 1.4 GB.
        return in_chunks(self._measure, x, 1)

    def _measure(self, pair: Tensor) -> Tensor:
        distorted, source = (pair.squeeze(2).float() / 255).chunk(2, dim=1)
        return torch.stack([measure_pair(name, distorted, source) for name in self.measures], dim=1)


def measure_pair(name: Measure, distorted: Tensor, source: Tensor) -> Tensor:
    """Return one measure of a frame, larger is better, shape (1,).

    Args:
        name: Which.
        distorted: Frame in [0, 1], shape (1, C, H, W).
        source: The source's frame, of the same shape.

    Raises:
        ValueError: If the frame is smaller than the measure allows, PIQ is not installed, or the value is not finite.
    """
    about = MEASURES[name]
    height, width = distorted.shape[-2:]
    if min(height, width) < about.smallest:
        raise ValueError(
            f"Frames are {width}x{height}, but `{name}` needs sides of at least {about.smallest} pixels; use another "
            "measure."
        )
    if torch.equal(distorted, source):
        # PIQ's own values are 1 to the sixth decimal, except for two black frames, where HaarPSI divides 0 by 0.
        return distorted.new_full((1,), max(about.sign, 0))
    try:
        piq = importlib.import_module("piq")
    except ImportError as error:
        raise ValueError("Full-reference measures need the package piq; `pip install 'cvqa_models[fr]'`.") from error
    value: Tensor = about.sign * getattr(piq, about.function)(distorted, source, data_range=1.0, reduction="none")
    if not value.isfinite().all():
        raise ValueError(f"PIQ's `{name}` is {value.item()} on a frame; use another measure.")
    return value
