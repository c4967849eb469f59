"""Find where in a frame a system sees damage: by its score map, or by the level of each patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from cvqa_models.inference.load import load
from cvqa_models.inference.scorer import Score, Scorer
from cvqa_models.inference.timeline import Timeline
from cvqa_models.messages import OF_A_FILE
from cvqa_models.models.shipped_level import LevelScores
from cvqa_models.video.looking import TheseFrames, seen_small
from cvqa_models.video.patches import Fragments
from cvqa_models.video.pixel_rules import Frame
from cvqa_models.video.reader import ReadOptions, iter_clips, probe, stacked
from cvqa_models.video.view import View

if TYPE_CHECKING:
    from cvqa_models.models.vsfa import Vsfa

Maps = Mapping[str, NDArray[np.float32]]

ROWS = 6  # smallest number of rows of patches for the level, if the picture is large enough
SIDES = (48, 112)  # smallest and largest side of a patch for the level: it was trained with these


def heat_maps(scorer: Scorer, path: str | Path, score: Score, frames: Sequence[int]) -> Maps:
    """Return the score of each place in each of some frames, name -> (F, rows, columns); empty if there are none.

    The compression level scores each patch of these frames by itself. VSFA has no score of a place; what is shown is
    how far each place pulls the score of a frame (see `Vsfa.pull_of_places`). Other systems have maps at some moments.
    A frame gets the map of the nearest moment that the system sees.

    Args:
        scorer: Scorer that scored the video.
        path: The video.
        score: Its score with a timeline.
        frames: Indices of frames, rising.

    Raises:
        ValueError: If the video cannot be read, or the score has no timeline.
    """
    if score.timeline is None:
        raise ValueError("The score has no timeline, which tells when its maps are; score with `per=`.")
    if isinstance(scorer.model, LevelScores):
        view = _patches(scorer, path, frames)
        clips = iter_clips(path, [view], scorer.reading)
        maps = {index: _level_of_patches(scorer.model, view, clip) for _, index, clip in clips}
        return {score.timeline.name: np.stack([maps[index] for index in sorted(maps)])}
    # They bring Lightning and timm, which scoring by the level does without.
    from cvqa_models.branches.resnet50_stats import ResNet50Stats
    from cvqa_models.models.vsfa import Vsfa

    if isinstance(scorer.model, Vsfa) and isinstance(scorer.model.branches["content"], ResNet50Stats):
        return _pulls(scorer, scorer.model, path, score.timeline.seen["quality"], frames)
    found = {}
    for name, seen in score.timeline.seen.items():
        values = score.maps[name]
        if values.ndim == 3 and values[0].numel() > 1:
            nearest = np.abs(seen[None, :] - np.asarray(frames)[:, None]).argmin(1)
            found[name] = values.numpy()[nearest]
    return found


def frame_with_heat(
    scorer: Scorer, path: str | Path, score: Score, frame: int, widest: int = 480
) -> tuple[Frame, NDArray[np.float32] | None]:
    """Return a frame, RGB, uint8, (H, W, 3), and the first of its `heat_maps` or None, from one decode.

    Args:
        scorer: What scored the video.
        path: The video.
        score: Its score with a timeline.
        frame: Index of the frame.
        widest: Columns of the picture at most.

    Raises:
        ValueError: If the video cannot be read, or the score has no timeline.
    """
    heat: NDArray[np.float32] | None
    small = seen_small(probe(path, scorer.reading), [frame], widest)
    if isinstance(scorer.model, LevelScores):
        patches = _patches(scorer, path, [frame])
        found = stacked([small, patches], iter_clips(path, [small, patches], scorer.reading))
        heat = _level_of_patches(scorer.model, patches, found[patches.key][0])
    else:
        found = stacked([small], iter_clips(path, [small], scorer.reading))
        maps = list(heat_maps(scorer, path, score, [frame]).values())
        heat = maps[0][0] if maps else None
    return found[small.key][0, :, 0].permute(1, 2, 0).numpy(), heat


def _patches(scorer: Scorer, path: str | Path, frames: Sequence[int]) -> View:
    lines = scorer.reading.display
    info = probe(path, scorer.reading)
    height = lines or info.height
    width = round(info.width * height / info.height)
    side = min(SIDES[1], max(SIDES[0], height // ROWS // 8 * 8))
    grid = (max(1, height // side), max(1, width // side))
    return View(TheseFrames(tuple(frames), clip_length=2), Fragments(grid, side))


def _pulls(scorer: Scorer, model: Vsfa, path: str | Path, seen: NDArray[np.int64], frames: Sequence[int]) -> Maps:
    nearest = seen[np.abs(seen[None, :] - np.asarray(frames)[:, None]).argmin(1)]
    looked = np.unique(nearest)
    pixels = next(iter(scorer.views.values())).pixels
    view = View(TheseFrames(tuple(looked.tolist())), pixels)
    with torch.inference_mode():
        clips = iter_clips(path, [view], scorer.reading)
        maps = {index: model.pull_of_places(clip.to(model.device)).cpu().numpy() for _, index, clip in clips}
    return {"pull_on_the_score": np.stack([maps[index] for index in np.searchsorted(looked, nearest)])}


def _level_of_patches(model: LevelScores, view: View, clip: Tensor) -> NDArray[np.float32]:
    """Return the level of each place, (rows, columns), of a clip of `_patches`."""
    assert isinstance(view.pixels, Fragments)
    side = view.pixels.patch
    with torch.inference_mode():
        patches = rearrange(clip, "c t (i p) (j q) -> (i j) 1 c t p q", p=side, q=side).to(model.device)
        tokens = model.branches["level"].net(patches).float()  # type: ignore[operator, union-attr]
        levels = model.levels(tokens[None])[0].tolist()
    return np.array([model.calibrated(level)[0] for level in levels], np.float32).reshape(view.pixels.grid)


def eyes_of(run: str | Path, reading: ReadOptions) -> Callable[[str], tuple[Timeline, Callable[[Sequence[int]], Maps]]]:
    """Return the function that gives timelines and maps for a run's report: by its model, or the compression level.

    The level is used if the run has no checkpoint that can be built here, or if its model needs a source, takes
    measured values, or has no scores of moments.

    Args:
        run: Folder of the run.
        reading: How videos are read.
    """
    level = load(reading=reading, device="cpu")
    try:
        own = load(Path(run), reading=reading, device="cpu")
        own.check()
    except OF_A_FILE:
        own = level

    def look(path: str) -> tuple[Timeline, Callable[[Sequence[int]], Maps]]:
        try:
            scorer, found = own, own(path, per="second")
        except OF_A_FILE:
            if own is level:
                raise
            scorer, found = level, level(path, per="second")
        assert found.timeline is not None
        return found.timeline, partial(heat_maps, scorer, path, found)

    return look
