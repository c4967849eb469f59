"""Scores of single moments of a video, from the tokens by which a system scores the whole video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvqa_models.training.scoring_model import ScoringModel
from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.view import View


class Moments(NamedTuple):
    """Scores of moments, in order.

    Attributes:
        frames: Index of a frame of each moment, shape (M,).
        times: Time of each moment in seconds, shape (M,).
        values: Score of each moment, float32, shape (M,).
    """

    frames: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float32]


def frames_of_maps(
    model: ScoringModel, features: dict[str, Tensor], maps: Mapping[str, Tensor], frame_times: FrameTimes
) -> dict[str, NDArray[np.int64]]:
    """Return a frame of each moment of score maps, by name; a map is left out if no branch has as many moments.

    Args:
        model: The model.
        features: Tokens of each branch of one video, (1, N, D).
        maps: Its score maps, (T, ...) each.
        frame_times: Times of the frames of the video.
    """
    views = {name: branch.view for name, branch in model.each_branch().items() if branch.view is not None}
    seen = {name: _frames(view, features[name].shape[1], frame_times) for name, view in views.items()}
    found = {}
    for name, values in maps.items():
        fitting = [own for own in (seen.get(name), *seen.values()) if own is not None and len(own) == len(values)]
        if fitting:
            found[name] = fitting[0]
    return found


def moments(model: ScoringModel, features: dict[str, Tensor], frame_times: FrameTimes) -> Moments:
    """Return the score of each moment of a video, computed only from the tokens of this moment.

    The moments are those of the branch with the fewest tokens. Tokens of other branches belong to the nearest of these
    moments; a moment without tokens of a branch is left out. If a system reads the order of its tokens, its score map
    gives the scores of moments.

    Args:
        model: The model.
        features: Tokens of each branch of one video, (1, N, D).
        frame_times: Times of its frames.

    Raises:
        ValueError: If a branch has one token for the whole video, or a system reads the order and has no map of
            moments.
    """
    seen = {}
    for name, branch in model.each_branch().items():
        assert branch.view is not None  # `Scorer.check` refuses measured values
        found = _frames(branch.view, features[name].shape[1], frame_times)
        if found is None:
            raise ValueError(
                f"`{name}` of {model.kind} has {features[name].shape[1]} tokens of all of the video at once, so none "
                "has a time; leave the timeline out."
            )
        seen[name] = found
    coarse = min(seen.values(), key=len)
    with model.full_precision():
        if model.reads_order:
            frames, raw = coarse, _by_map(model, features, len(coarse))
        else:
            owners = {name: _owners(own, coarse) for name, own in seen.items()}
            kept = [place for place in range(len(coarse)) if all((own == place).any() for own in owners.values())]
            frames, raw = coarse[kept], [_score(model, features, owners, place) for place in kept]
    values = np.array([model.calibrated(value)[0] for value in raw], np.float32)
    order = np.argsort(frames, kind="stable")
    return Moments(frames[order], np.asarray(frame_times.times)[frames[order]], values[order])


def _frames(view: View, tokens: int, frame_times: FrameTimes) -> NDArray[np.int64] | None:
    """Return a frame of each moment of a view, given the number of tokens; None if they belong to the whole video."""
    indices = view.frames.indices(frame_times)
    clips, length = indices.shape
    pairs = clips * length // 2  # networks for clips take two frames as a moment
    if tokens == clips and (clips > 1 or length == 1):
        return indices[:, length // 2]
    if length % 2 == 0 and tokens % pairs == 0:
        return indices.reshape(-1, 2)[:, 0]
    return None


def _owners(own: NDArray[np.int64], coarse: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each moment of a branch the nearest moment of `coarse`."""
    if len(own) == len(coarse):
        return np.arange(len(own))
    nearest: NDArray[np.int64] = np.abs(own[:, None] - coarse).argmin(axis=1)
    return nearest


def _score(model: ScoringModel, features: dict[str, Tensor], owners: dict[str, NDArray[np.int64]], place: int) -> float:
    part = {}
    for name, owner in owners.items():
        tokens = features[name].unflatten(1, (len(owner), -1))
        part[name] = tokens[:, torch.from_numpy(np.flatnonzero(owner == place)).to(tokens.device)].flatten(1, 2)
    return model.score(part).item()


def _by_map(model: ScoringModel, features: dict[str, Tensor], count: int) -> list[float]:
    found = model.maps(features).get("quality")
    if found is None or found.shape != (1, count):
        raise ValueError(
            f"A score of {model.kind} depends on the order of what it sees, so no moment has one; leave the timeline "
            "out."
        )
    values: list[float] = found[0].tolist()
    return values
