"""Nested cross-validation: nothing that is scored has been seen, neither in training nor in a choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvqa_models.metrics.group_score import Thresholds, evaluate
from cvqa_models.training.batched_fit import HeadFit
from cvqa_models.training.crossval import FitSettings, Outcome, cross_validate
from cvqa_models.types import Batch
from tests.unit.training.cached import model, planted

SETTINGS = FitSettings([0.1, 2.0], steps=32, every=8, thresholds=Thresholds(3, 3, 3))


def run(batch: Batch, fold: np.ndarray, settings: FitSettings = SETTINGS, seeds: int = 2) -> Outcome:
    return cross_validate([model(seed=seed) for seed in range(seeds)], batch, fold, settings)


@pytest.fixture
def batch() -> Batch:
    return planted()


@pytest.fixture
def fold(batch: Batch) -> np.ndarray:
    return batch.group.numpy() % 3


def test_a_planted_signal_is_found(batch: Batch, fold: np.ndarray) -> None:
    found = run(batch, fold)
    assert found.scores.shape == (len(batch), 2)
    assert found.results[-1].min() > 0.85
    assert set(found.decay.flat) <= {0.1, 2.0}
    assert set(found.step.flat) <= {8, 16, 24, 32}
    by_hand = evaluate(batch.group_name, batch.mos, found.scores[:, 1], thresholds=SETTINGS.thresholds)
    assert found.results[:, 1] == pytest.approx([by_hand.srocc, by_hand.plcc, by_hand.krocc, by_hand.result])


def test_labels_of_a_fold_change_none_of_its_scores(batch: Batch, fold: np.ndarray) -> None:
    """Were a video's own fold used in training, in the choice of step and decay, or in the scale, this would fail."""
    before = run(batch, fold)
    changed = batch.mos.clone()
    changed[fold == 1] = -changed[fold == 1]
    batch.mos = changed
    after = run(batch, fold)
    np.testing.assert_array_equal(after.scores[fold == 1], before.scores[fold == 1])
    for name in ("decay", "step", "inner"):
        np.testing.assert_array_equal(getattr(after, name)[1], getattr(before, name)[1])
    assert not np.allclose(after.scores[fold == 0], before.scores[fold == 0])


def test_features_of_a_fold_change_no_other_scores_of_models_without_it(batch: Batch, fold: np.ndarray) -> None:
    """Input statistics too come from training videos: a fold with absurd features leaves its own models as they are."""
    before = run(batch, fold)
    own = np.flatnonzero(fold == 2)
    batch.features["table"][own[0]] = 1e6
    after = run(batch, fold)
    np.testing.assert_array_equal(after.scores[own[1:]], before.scores[own[1:]])


def test_the_same_run_gives_the_same_numbers(batch: Batch, fold: np.ndarray) -> None:
    np.testing.assert_array_equal(run(batch, fold).scores, run(batch, fold).scores)


def test_the_choice_is_the_best_inner_result(batch: Batch, fold: np.ndarray) -> None:
    """The free choice is no worse than any single one, for every fold and seed."""
    free = run(batch, fold).inner
    single = [
        run(batch, fold, FitSettings([decay], steps=32, every=32, thresholds=SETTINGS.thresholds)).inner
        for decay in SETTINGS.decays
    ]
    assert (free >= np.max(single, axis=0) - 1e-12).all()


def test_a_reversed_model_is_neither_chosen_nor_reported_as_a_good_one(
    batch: Batch, fold: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One decay gives minus the truth, the other a weak order: absolute values would choose the first."""
    weak = batch.mos + 2 * torch.randn(len(batch), generator=torch.Generator().manual_seed(0))

    def fits(fits: list[HeadFit], batch: Batch, *, steps: int, every: int) -> torch.Tensor:
        return torch.stack([(weak if one.decay == 2.0 else -batch.mos).expand(steps // every, -1) for one in fits])

    monkeypatch.setattr("cvqa_models.training.crossval.fit_many", fits)
    found = run(batch, fold)
    assert (found.decay == 2.0).all()
    assert found.inner.min() > 0
    assert 0 < found.results[-1].min() <= found.results[-1].max() < 0.6
    reverse = run(batch, fold, FitSettings([0.1], steps=32, every=8, thresholds=SETTINGS.thresholds))
    assert (reverse.results == -1).all()
    assert (reverse.inner == -1).all()


def test_a_fold_whose_others_have_no_large_group_is_refused_before_anything_is_fitted(
    batch: Batch, fold: np.ndarray
) -> None:
    """Only fold 1 has groups of eight; without it nothing could be chosen, since SROCC would be NaN everywhere."""
    halves = enumerate(zip(batch.group_name, fold, strict=True))
    batch.group_name = [name if own == 1 else f"{name}{index % 2}" for index, (name, own) in halves]
    settings = FitSettings([0.1], steps=8, every=8, thresholds=Thresholds(6, 3, 3))
    told: list[int] = []
    with pytest.raises(ValueError, match=r"Without fold 1 no group has the 6 .* SROCC .* has 4. Use `--min-srocc`"):
        cross_validate([model()], batch, fold, settings, lambda done, total: told.append(done))
    assert not told


def test_progress_ends_at_the_number_of_fits(batch: Batch, fold: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    cross_validate([model()], batch, fold, SETTINGS, lambda done, total: told.append((done, total)))
    assert told[-1] == (9, 9)  # three pairs with two decays, and three folds
    assert [done for done, _ in told] == sorted(done for done, _ in told)
