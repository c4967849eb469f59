"""Any image measure of piq, torchmetrics or pyiqa as a system."""

from __future__ import annotations

from cvqa_models.branches.library_metric import LibraryMetric
from cvqa_models.models.frame_mean import FrameMean
from cvqa_models.video.view import View


class Metric(FrameMean):
    """The mean of an image measure over key frames.

    Args:
        name: `LIBRARY:MEASURE`, see `LibraryMetric`.
        view: Single frames, with their source's frames for a full-reference measure; null for whole key frames.
        num_clips: Key frames per video if no `view` is given; null for 8.
        download: Whether the library may fetch the weights of the measure into its own cache.
    """

    def __init__(
        self, name: str, *, view: View | None = None, num_clips: int | None = None, download: bool = False
    ) -> None:
        super().__init__(LibraryMetric(name, view=view, num_clips=num_clips, download=download))
