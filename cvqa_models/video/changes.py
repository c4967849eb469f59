"""Find cuts and repeated pictures while a video is decoded for something else, without a decode of their own."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingMore
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from cvqa_models.video.frame_rules import TOLERANCE, FrameTimes

ALIKE = 4  # grey levels of 255 by which a pixel of a repeated picture may differ: an encoder refines it a little
MOVED = 5e-4  # share of the pixels that may differ by more
FROZEN = 0.2  # a picture that stands still for so many seconds counts as frozen
GLANCE = 16  # first only one of so many rows is compared


class Changes:
    """Cuts and repeated pictures of a video.

    A cut is what FFmpeg's filter `scdet` finds with its usual threshold. A picture repeats the one before it if all but
    `MOVED` of its pixels differ from it by at most `ALIKE` grey levels (ours).

    Attributes:
        frame_times: Times of the frames, as they turned out in decoding.
        cuts: Indices of the frames that begin a scene, except the first frame.
        repeats: Indices of the frames that repeat the one before.
    """

    frame_times: FrameTimes

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self.repeats: list[int] = []

    def restart(self, frame_times: FrameTimes) -> None:
        """Forget everything: the frames will come again from the start."""
        self.frame_times = frame_times
        self.cuts, self.repeats = [], []
        self._format: tuple[int, int, str] | None = None
        self._before: NDArray[np.uint8] | None = None

    def see(self, index: int, frame: VideoFrame) -> None:
        """Take the next frame, in its order."""
        luma, form = _luma(frame), (frame.width, frame.height, frame.format.name)
        if form != self._format:
            self._format, self._before = form, None
            self._graph = _cut_finder(frame)
        if self._before is not None and _alike(self._before, luma):
            self.repeats.append(index)
        if self._is_cut(frame) and index:
            self.cuts.append(index)
        self._before = luma

    def _is_cut(self, frame: VideoFrame) -> bool:
        self._graph.push(frame)
        try:
            self._graph.pull()
        except (NothingYet, NothingMore):
            return False
        return True


def freezes(changes: Changes) -> list[tuple[int, int]]:
    """Return the first and last repeated frame of each freeze: a picture that stands still for `FROZEN` or longer.

    A single frame that an encoder refines meanwhile, such as a key frame, does not end a freeze; a cut does.
    """
    times, joined = changes.frame_times, list[tuple[int, int]]()
    for first, last in runs(changes.repeats):
        mended = joined and first - joined[-1][1] == 2 and first - 1 not in changes.cuts
        if mended and min(last - first, joined[-1][1] - joined[-1][0]) >= 2:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    ends = [*times.times, times.duration]
    return [(first, last) for first, last in joined if ends[last + 1] - ends[first] >= FROZEN - TOLERANCE]


def runs(indices: list[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of consecutive numbers in a rising list."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def _cut_finder(frame: VideoFrame) -> Graph:
    """Return a filter graph that passes only the frames that begin a scene."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    detector, sink = graph.add("scdet", "sc_pass=1"), graph.add("buffersink")
    source.link_to(detector)
    detector.link_to(sink)
    graph.configure()
    return graph


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the luma of a frame, or the frame as grey if it has no luma, 8 bits, shape (H, W)."""
    form = frame.format
    depth = form.components[0].bits
    if form.is_rgb or not form.is_planar or form.is_bit_stream or form.is_big_endian or form.has_palette:
        return np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
    plane = frame.planes[0]
    kind = np.dtype(np.uint8 if depth <= 8 else np.uint16)
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : frame.width]  # it keeps the frame
    return rows if depth <= 8 else (rows >> (depth - 8)).astype(np.uint8)


def _alike(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> bool:
    allowed = MOVED * before.size
    # Most pictures already differ in these few rows by more than a repeated picture may differ in all.
    return all(_moved(before[::step], after[::step]) <= allowed for step in (GLANCE, 1))


def _moved(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.maximum(before, after) - np.minimum(before, after) > ALIKE))
