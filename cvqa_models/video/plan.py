"""What one pass over a video fills: the clips of each view, as the frames come by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from cvqa_models.video.info import VideoInfo
from cvqa_models.video.pixels import Frame, Kernel
from cvqa_models.video.scaling import Scaler
from cvqa_models.video.view import View

Clip = tuple[str, int, Tensor]


class Picture:
    """A frame as RGB, converted once per size and kernel however many clips and views use it."""

    def __init__(self, frame: VideoFrame, scaler: Scaler) -> None:
        self._frame = frame
        self._scaler = scaler
        self._done: dict[tuple[int, int, Kernel], Frame] = {}

    def at(self, height: int, width: int, kernel: Kernel) -> Frame:
        key = (height, width, kernel)
        if key not in self._done:
            self._done[key] = self._scaler.scale(self._frame, height, width, kernel)
        return self._done[key]


class Plan:
    """One view of one video: which clips need which frame, and the clips begun but not complete."""

    def __init__(self, view: View, info: VideoInfo, rng: np.random.Generator | None) -> None:
        indices = view.frames.indices(info.timeline, rng)
        size = (info.height, info.width)
        self.view = view
        self.scaled_size = view.pixels.scaled_size(*size)
        self.shape = (6 if view.with_reference else 3, indices.shape[1], *view.pixels.output_size(*size))
        self.offsets = view.pixels.draw(*size, len(indices), rng)
        self.uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for (clip, position), index in np.ndenumerate(indices):
            self.uses[int(index)].append((clip, position))
        self._missing = Counter(dict.fromkeys(range(len(indices)), indices.shape[1]))
        self._open: dict[int, Frame] = {}

    def fill(self, index: int, pictures: Sequence[Picture]) -> Iterator[Clip]:
        """Put frame `index`, from the video and perhaps its source, where it belongs; yield the clips it completes."""
        pixels = self.view.pixels
        scaled = [picture.at(*self.scaled_size, pixels.kernel) for picture in pictures[: self.shape[0] // 3]]
        for clip, position in self.uses[index]:
            if clip not in self._open:
                self._open[clip] = np.empty(self.shape, np.uint8)
            for first, picture in zip((0, 3), scaled, strict=False):
                cut = pixels.cut(picture, self.offsets[clip])
                self._open[clip][first : first + 3, position] = cut.transpose(2, 0, 1)
            self._missing[clip] -= 1
            if self._missing[clip] == 0:
                yield self.view.key, clip, torch.from_numpy(self._open.pop(clip))
