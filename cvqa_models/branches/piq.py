"""The ten full-reference measures of PIQ that MMF fuses, on key frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.branches.inputs import in_turns
from cvqa_models.branches.views import chosen_view, whole_key_frame_view
from cvqa_models.extras import load_extra
from cvqa_models.metrics.direction import is_lower_better
from cvqa_models.video.view import View

Measure = Literal["vsi", "fsim", "haarpsi", "gmsd", "ms_gmsd", "ssim", "ms_ssim", "dss", "srsim", "mdsi"]


@dataclass(frozen=True)
class _About:
    """A measure of PIQ: its function, and the shortest side that it can take."""

    function: str
    smallest: int


MEASURES: dict[Measure, _About] = {
    "vsi": _About("vsi", 1),
    "fsim": _About("fsim", 2),
    "haarpsi": _About("haarpsi", 16),
    "gmsd": _About("gmsd", 1),
    "ms_gmsd": _About("multi_scale_gmsd", 17),
    "ssim": _About("ssim", 11),
    "ms_ssim": _About("multi_scale_ssim", 161),
    "dss": _About("dss", 8),
    "srsim": _About("srsim", 40),
    "mdsi": _About("mdsi", 1),
}


class Piq(Branch):
    """Tokens of key frames and their source's: measures of PIQ in its own scales, signed so that larger is better.

    GMSD, MS-GMSD and MDSI are distances and are negated. No measure is learnt or needs weights. The values are those of
    PIQ; for example its SSIM first averages 1080p frames down by 4, which other libraries do not do.

    Args:
        measures: Names of measures, in the order of the token; null takes all ten.
        view: Single frames, with those of the source; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
    """

    def __init__(
        self, measures: Sequence[Measure] | None = None, *, view: View | None = None, num_clips: int | None = None
    ) -> None:
        chosen: list[Measure] = list(MEASURES if measures is None else measures)
        view = chosen_view(view, num_clips, partial(whole_key_frame_view, with_reference=True))
        super().__init__(view, len(chosen), frozen=True, variant="+".join(chosen))
        self.measures = chosen

    def tokens(self, x: Tensor) -> Tensor:
        """Return one token per key frame, shape (B, N, D), from `x` of shape (B, N, 6, 1, H, W).

        Raises:
            ValueError: If frames are smaller than a measure allows, PIQ is not installed, or a value is not finite.
        """
        # One frame at a time: a 1080p frame takes 1.4 GB.
        return in_turns(self._measure, x, 1)

    def _measure(self, pair: Tensor) -> Tensor:
        distorted, source = (pair.squeeze(2).float() / 255).chunk(2, dim=1)
        return torch.stack([measure_pair(name, distorted, source) for name in self.measures], dim=1)


def measure_pair(name: Measure, distorted: Tensor, source: Tensor) -> Tensor:
    """Return one measure of a frame, larger is better, shape (1,).

    Args:
        name: Name of the measure.
        distorted: Frame in [0, 1], shape (1, C, H, W).
        source: Frame of the source, of the same shape.

    Raises:
        ValueError: If the frame is smaller than the measure allows, PIQ is not installed, or the value is not finite.
    """
    about, sign = MEASURES[name], -1 if is_lower_better(name) else 1
    height, width = distorted.shape[-2:]
    if min(height, width) < about.smallest:
        raise ValueError(
            f"Frames are {width}x{height}, but `{name}` needs sides of at least {about.smallest} pixels; use another "
            "measure."
        )
    if torch.equal(distorted, source):
        # Of equal frames PIQ gives 1 to the sixth decimal; but for two black frames HaarPSI divides 0 by 0.
        return distorted.new_full((1,), max(sign, 0))
    piq = load_extra("piq", "A full-reference measure")
    value: Tensor = sign * getattr(piq, about.function)(distorted, source, data_range=1.0, reduction="none")
    if not value.isfinite().all():
        raise ValueError(f"PIQ's `{name}` is {value.item()} on a frame; use another measure.")
    return value
