from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cvqa_models.metrics.ensemble import agreement, combine, fit_weights, standardise
from cvqa_models.metrics.group_score import evaluate

RNG = np.random.default_rng(0)
GROUP = np.repeat(["a", "b", "c"], 20).tolist()
MOS = RNG.normal(size=60)


def test_standardise_is_a_z_score_in_each_group() -> None:
    scores = RNG.normal(size=(60, 2)) * [1, 100] + 5
    found = standardise(GROUP, scores)
    for start in range(0, 60, 20):
        rows = slice(start, start + 20)
        np.testing.assert_allclose(found[rows], stats.zscore(scores[rows]), atol=1e-12)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e307, 5e-310])
def test_standardise_takes_any_scale(scale: float) -> None:
    scores = RNG.normal(size=(60, 2))
    np.testing.assert_allclose(standardise(GROUP, scale * scores), standardise(GROUP, scores), atol=1e-9)


def test_a_constant_group_becomes_zero() -> None:
    assert not standardise(["a"] * 4, np.full((4, 1), 0.1)).any()


def test_scale_and_level_of_a_model_do_not_matter() -> None:
    scores = MOS[:, None] + RNG.normal(size=(60, 2))
    np.testing.assert_allclose(combine(GROUP, scores), combine(GROUP, scores * [1, 50] - 7), atol=1e-9)


def test_weights_are_shares() -> None:
    scores = RNG.normal(size=(60, 2))
    expected = standardise(GROUP, scores) @ [0.25, 0.75]
    np.testing.assert_allclose(combine(GROUP, scores, [1, 3]), expected)


def test_fitted_weights_prefer_the_better_model_and_help_on_new_videos() -> None:
    def models(mos: np.ndarray) -> np.ndarray:
        return np.stack([mos + 0.5 * RNG.normal(size=60), mos + RNG.normal(size=60), RNG.normal(size=60)], axis=1)

    weights = fit_weights(GROUP, MOS, models(MOS))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > weights[1] > weights[2] >= 0
    mos = RNG.normal(size=60)
    scores = models(mos)
    fitted, equal = (evaluate(GROUP, mos, combine(GROUP, scores, w)).result for w in (weights, None))
    assert fitted > equal


def test_unlabelled_videos_do_not_take_part_in_the_fit() -> None:
    scores = MOS[:, None] + RNG.normal(size=(60, 2))
    mos = MOS.copy()
    mos[:3] = np.nan
    np.testing.assert_allclose(fit_weights(GROUP, mos, scores), fit_weights(GROUP[3:], MOS[3:], scores[3:]))


def test_agreement_is_the_correlation_of_standardised_scores() -> None:
    scores = np.stack([MOS, MOS + RNG.normal(size=60), -MOS + RNG.normal(size=60), np.ones(60)], axis=1)
    found = agreement(GROUP, scores)
    np.testing.assert_allclose(found[:3, :3], np.corrcoef(standardise(GROUP, scores[:, :3]).T))
    assert found[0, 2] < 0 < found[0, 1]
    assert np.isnan(found[3]).all()


def test_bad_input_is_refused() -> None:
    scores = RNG.normal(size=(60, 2))
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="expected 2 numbers, none negative"):
            combine(GROUP, scores, weights)
    with pytest.raises(ValueError, match="No model's scores rise"):
        fit_weights(GROUP, MOS, -np.stack([MOS, MOS], axis=1))
    with pytest.raises(ValueError, match="2 groups for 60 rows"):
        standardise(["a", "b"], scores)
