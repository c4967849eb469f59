"""Fill the clips of every view in one pass over a video, frame by frame."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from cvqa_models.video.info import VideoInfo
from cvqa_models.video.pixel_rules import Frame, Kernel, Size
from cvqa_models.video.scaling import Scaler
from cvqa_models.video.view import View

Clip = tuple[str, int, Tensor]


class Picture:
    """A frame as RGB, converted only once per size and kernel, even if many clips and views use it."""

    def __init__(self, frame: VideoFrame, scaler: Scaler) -> None:
        self._frame = frame
        self._scaler = scaler
        self._done: dict[tuple[int, int, Kernel], Frame] = {}

    def at(self, height: int, width: int, kernel: Kernel) -> Frame:
        key = (height, width, kernel)
        if key not in self._done:
            self._done[key] = self._scaler.scale(self._frame, height, width, kernel)
        return self._done[key]


def displayed(height: int, width: int, lines: int | None) -> Size:
    """Return the size of a picture on a screen of `lines` lines; the picture's own size for None."""
    return (height, width) if lines is None else (lines, max(1, round(width * lines / height)))


class Plan:
    """One view of one video: which clips need which frame, and the clips that are not yet complete."""

    def __init__(
        self, view: View, info: VideoInfo, rng: np.random.Generator | None, display: int | None = None
    ) -> None:
        indices = view.frames.indices(info.frame_times, rng)
        size = displayed(info.height, info.width, display)
        self.view = view
        self.scaled_size = view.pixels.scaled_size(*size)
        # If a rule takes the picture in the size of the screen, the player has scaled it, so with the player's kernel.
        # If the rule scales it further, it is scaled only once, with the rule's kernel.
        by_player = self.scaled_size == size != (info.height, info.width)
        self.kernel: Kernel = "bicubic" if by_player else view.pixels.kernel
        self.shape = (6 if view.with_reference else 3, indices.shape[1], *view.pixels.output_size(*size))
        self._aligned = view.pixels.aligned or indices.shape[1]
        self.offsets = view.pixels.draw(*size, indices.size // self._aligned, rng)
        self.uses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for (clip, position), index in np.ndenumerate(indices):
            self.uses[int(index)].append((clip, position))
        self._missing = Counter(dict.fromkeys(range(len(indices)), indices.shape[1]))
        self._open: dict[int, Frame] = {}

    def fill(self, index: int, pictures: Sequence[Picture]) -> Iterator[Clip]:
        """Put frame `index` of the video, and of its reference if given, into its clips; yield those now complete."""
        pixels = self.view.pixels
        scaled = [picture.at(*self.scaled_size, self.kernel) for picture in pictures[: self.shape[0] // 3]]
        for clip, position in self.uses[index]:
            if clip not in self._open:
                self._open[clip] = np.empty(self.shape, np.uint8)
            for first, picture in zip((0, 3), scaled, strict=False):
                cut = pixels.cut(picture, self.offsets[(clip * self.shape[1] + position) // self._aligned])
                self._open[clip][first : first + 3, position] = cut.transpose(2, 0, 1)
            self._missing[clip] -= 1
            if self._missing[clip] == 0:
                yield self.view.key, clip, torch.from_numpy(self._open.pop(clip))
