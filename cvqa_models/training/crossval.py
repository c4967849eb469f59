"""Nested cross-validation of a small model: choices are made on videos that are used neither to train nor to test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import METRICS, Thresholds, fisher_z, group_table, pooled
from cvqa_models.training.batched_fit import HeadFit, fit_many
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Batch

FITS_AT_ONCE = 32
PARAMETERS_AT_ONCE = 30_000_000


@dataclass(frozen=True)
class FitSettings:
    """What is tried in every fold.

    Attributes:
        decays: Weight decays.
        steps: Most training steps.
        every: The number of steps is chosen among multiples of this.
        thresholds: Fewest videos that a group needs to count in the evaluation.
    """

    decays: Sequence[float]
    steps: int
    every: int
    thresholds: Thresholds


@dataclass(frozen=True)
class Outcome:
    """Out-of-fold scores of N videos by S seeds.

    Attributes:
        scores: Scores at the chosen step and decay, divided by their spread inside training groups; shape (N, S).
        last: The same at the last step with the chosen decay, shape (N, S).
        decay: Chosen decay of each fold and seed, shape (F, S).
        step: Chosen number of steps of each fold and seed, shape (F, S).
        inner: Group result on which each choice was made, shape (F, S).
        results: SROCC, PLCC, KROCC and result of each seed, shape (4, S).
        last_results: The same of `last`.
    """

    scores: Floats
    last: Floats
    decay: Floats
    step: NDArray[np.int64]
    inner: Floats
    results: Floats
    last_results: Floats


def cross_validate(
    models: Sequence[QualityModule],
    batch: Batch,
    fold: NDArray[np.int64],
    settings: FitSettings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Return out-of-fold scores of every video, with decay and step chosen without the fold that is scored.

    For a fold F, each other fold is scored by models that were trained without it and without F. The decay and step
    with the best group result over all these scores are then used to train the model that scores F. Every seed is a run
    of its own, with its own choices. A model trained without folds F and G is used for the choices of both.

    Args:
        models: One freshly initialised model per seed, all of one configuration.
        batch: All videos, labelled, with cached features of every branch.
        fold: Fold of each video, numbers from 0, shape (N,).
        settings: What is tried.
        progress: Called with the number of fits done and the number of all fits.

    Raises:
        ValueError: If no group outside a fold is large enough for one of the coefficients, so that nothing can be
            chosen there; or if the training videos of a fold have no group whose labels differ.
    """
    folds = range(int(fold.max()) + 1)
    for own in folds:
        _check_choice(batch, fold, own, settings.thresholds)
    without = torch.from_numpy(fold)
    inner = [
        HeadFit(model, (without != a) & (without != b), decay)
        for a, b in combinations(folds, 2)
        for model in models
        for decay in settings.decays
    ]
    total = len(inner) + len(folds) * len(models)
    recorded = _fit(inner, batch, settings, lambda done: progress(done, total))
    shape = (len(models), len(settings.decays), settings.steps // settings.every, len(fold))
    pairs = dict(zip(combinations(folds, 2), recorded.reshape(-1, *shape), strict=True))
    chosen = np.zeros((2, len(folds), len(models)), dtype=np.int64)
    best = np.zeros((len(folds), len(models)))
    for own in folds:
        held = np.zeros(shape)
        for pair, scores in pairs.items():
            if own in pair:
                other = pair[0] if pair[1] == own else pair[1]
                held[..., fold == other] = scores[..., fold == other]
        best[own], *chosen[:, own] = _best(batch, held, fold != own, settings.thresholds)
    decay, step = np.asarray(settings.decays)[chosen[0]], chosen[1]
    final = [HeadFit(model, without != own, decay[own, seed]) for own in folds for seed, model in enumerate(models)]
    recorded = _fit(final, batch, settings, lambda done: progress(len(inner) + done, total))
    scores = np.zeros((2, len(fold), len(models)))
    for own, by_seed in zip(folds, recorded.reshape(len(folds), *shape[:1], *shape[2:]), strict=True):
        for place, at in enumerate((by_seed[range(len(models)), step[own]], by_seed[:, -1])):
            spread = _spread(at[:, fold != own], batch.group.numpy()[fold != own])
            scores[place][fold == own] = (at[:, fold == own] / spread[:, None]).T
    group, mos = batch.group_name, batch.mos.numpy().astype(np.float64)
    return Outcome(
        scores=scores[0],
        last=scores[1],
        decay=decay,
        step=settings.every * (step + 1),
        inner=best,
        results=_results(group, mos, scores[0], settings.thresholds),
        last_results=_results(group, mos, scores[1], settings.thresholds),
    )


def _check_choice(batch: Batch, fold: NDArray[np.int64], own: int, thresholds: Thresholds) -> None:
    mos = batch.mos.numpy().astype(np.float64)[fold != own]
    group = [name for name, other in zip(batch.group_name, fold != own, strict=True) if other]
    table = group_table(group, mos, mos[:, None])
    largest = int(table.sizes[table.rankable].max(initial=0))
    for name in METRICS:
        least = getattr(thresholds, name)
        if largest < least:
            raise ValueError(
                f"Without fold {own} no group has the {least} videos that {name.upper()} needs, so that nothing can be "
                f"chosen there; the largest whose labels differ has {largest}. Use `--min-{name}` to lower the "
                "threshold, or more `--folds`."
            )


def _fit(fits: list[HeadFit], batch: Batch, settings: FitSettings, progress: Callable[[int], None]) -> Floats:
    """Return the scores of all fits; as many are trained at once as fit into memory and caches."""
    parameters = sum(p.numel() for p in fits[0].model.parameters() if p.requires_grad)
    size = max(1, min(FITS_AT_ONCE, PARAMETERS_AT_ONCE // parameters))
    parts = []
    for start in range(0, len(fits), size):
        # Dropout draws from torch's generator; its numbers must not depend on earlier fits.
        torch.manual_seed(start)
        scores = fit_many(fits[start : start + size], batch, steps=settings.steps, every=settings.every)
        parts.append(scores.numpy())
        progress(min(start + size, len(fits)))
    return np.concatenate(parts)


def _best(
    batch: Batch, scores: Floats, rows: NDArray[np.bool_], thresholds: Thresholds
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return the best result of each seed, and its decay and step, shape (S,) each, from scores (S, D, T, N)."""
    group = [name for name, used in zip(batch.group_name, rows, strict=True) if used]
    columns = scores[..., rows].reshape(-1, rows.sum()).T
    results = _results(group, batch.mos.numpy()[rows].astype(np.float64), columns, thresholds)[-1]
    by_seed = results.reshape(len(scores), -1)
    decay, step = np.unravel_index(by_seed.argmax(1), scores.shape[1:3])
    return by_seed.max(1), decay, step


def _results(group: Sequence[str], mos: Floats, scores: Floats, thresholds: Thresholds) -> Floats:
    """Return SROCC, PLCC, KROCC and their mean of each column, shape (4, K)."""
    table = group_table(group, mos, scores)
    return pooled(*fisher_z(table, thresholds, "zero"))[:, 0]


def _spread(scores: Floats, group: NDArray[np.int64]) -> Floats:
    """Return the standard deviation inside groups of each seed's scores, shape (S,), from shape (S, n); never 0."""
    row, count = np.unique(group, return_inverse=True, return_counts=True)[1:]
    sums = np.stack([np.bincount(row, weights=own) for own in scores])
    spread: Floats = np.sqrt(((scores - (sums / count)[:, row]) ** 2).mean(1))
    return np.where(spread > 0, spread, 1)
