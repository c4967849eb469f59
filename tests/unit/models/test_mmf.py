"""MMF's arrays score as scikit-learn does, and its settings are chosen without mixing references."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cvqa_models.branches.base import Branch
from cvqa_models.metrics.group_score import evaluate
from cvqa_models.models.mmf import Mmf
from cvqa_models.training import mmf_tuning
from cvqa_models.training.checkpoint import load_weights, read_checkpoint, to_bytes
from cvqa_models.training.mmf_tuning import Judge, Measured, importance, regressor, tune
from cvqa_models.video.frame_rules import KeyFrames
from cvqa_models.video.pixel_rules import Resize
from cvqa_models.video.view import View

SETTINGS = {"C": 2.0, "gamma": 0.1, "epsilon": 0.05, "n_estimators": 5, "max_samples": 0.8, "max_features": 0.6}


class Three(Branch):
    def __init__(self) -> None:
        super().__init__(View(KeyFrames(2), Resize(8, 8)), 3, frozen=True)

    def tokens(self, x: Tensor) -> Tensor:
        return x.float().mean((3, 4, 5))


def videos(groups: int = 6, size: int = 16) -> Measured:
    """The first measure tells quality inside a group, the second the group's level, the third nothing."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=groups * size)
    level = np.repeat(3 * rng.normal(size=groups), size)
    noise = rng.normal(size=(2, groups * size))
    names = [f"g{number // size}" for number in range(groups * size)]
    return Measured(np.stack([quality + 0.1 * noise[0], level, noise[1]], axis=1), quality + level, names, names)


def test_scores_are_those_of_scikit_learn() -> None:
    known = videos()
    fitted = regressor(SETTINGS, 0).fit(known.measures, known.mos)
    model = Mmf(Three())
    model.take(fitted)
    # Two key frames whose mean is the measure.
    tokens = torch.from_numpy(known.measures)[:, None] + torch.tensor([-1.0, 1.0])[None, :, None]
    scores = model.score({"measures": tokens})
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), fitted.predict(known.measures), rtol=1e-5, atol=1e-6)


def test_a_checkpoint_holds_arrays_alone(tmp_path: Path) -> None:
    known = videos()
    model = Mmf(Three())
    model.take(regressor(SETTINGS, 0).fit(known.measures, known.mos))
    path = tmp_path / "m.ckpt"
    path.write_bytes(to_bytes(model, {"class_path": "a.Mmf", "init_args": {"measures": {"class_path": "a.Three"}}}))
    content = read_checkpoint(path)  # refuses all that could run code
    assert content["hyper_parameters"] == {"_class_path": "a.Mmf", "measures": {"class_path": "a.Three"}}
    other = Mmf(Three())
    load_weights(other, content, path)
    tokens = torch.from_numpy(known.measures)[:, None]
    assert torch.equal(other.score({"measures": tokens}), model.score({"measures": tokens}))
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=True)["frozen_digests"].keys() == {"measures"}


def test_what_is_not_fitted_does_not_score() -> None:
    model = Mmf(Three())
    with pytest.raises(ValueError, match="MMF is not fitted; run `cvqa fit-mmf`"):
        model.score({"measures": torch.zeros(1, 2, 3)})
    known = videos()
    model.take(regressor(SETTINGS, 0).fit(known.measures, known.mos))
    with pytest.raises(ValueError, match="fitted on 3 measures but gets 4"):
        model.score({"measures": torch.zeros(1, 2, 4)})
    with pytest.raises(ValueError, match="MMF is not trained by gradients"):
        model.configure_optimizers()


def test_inner_folds_keep_references_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    known = videos()
    seen: list[tuple[set[str], set[str]]] = []

    def spy(bag: Any, measures: np.ndarray, mos: np.ndarray, *, groups: list[str], cv: Any) -> np.ndarray:
        names = np.array(groups)
        seen.extend((set(names[a]), set(names[b])) for a, b in cv.split(measures, mos, groups))
        return mos

    monkeypatch.setattr("sklearn.model_selection.cross_val_predict", spy)
    tune(known, trials=1, folds=3)
    assert len(seen) == 3
    assert all(not train & test for train, test in seen)


@pytest.mark.parametrize("criterion", ["result", "mse"])
def test_tuning_is_reproducible_and_beats_a_poor_setting(criterion: mmf_tuning.Criterion) -> None:
    known = videos()
    first, again = (tune(known, criterion=criterion, trials=4, seed=1) for _ in range(2))
    assert first == again
    assert set(first) == set(SETTINGS)
    new = Measured(known.measures[::-1], known.mos[::-1], known.group[::-1], known.reference[::-1])
    judge = Judge(criterion, new)
    good, poor = (
        judge(regressor(settings, 0).fit(known.measures, known.mos).predict(new.measures))
        for settings in (first, SETTINGS | {"gamma": 100.0, "n_estimators": 1})
    )
    assert good > poor


def test_the_measure_that_ranks_matters_most() -> None:
    known = videos()
    fitted = regressor(SETTINGS | {"max_features": 1.0}, 0).fit(known.measures, known.mos)
    quality, _, noise = importance(fitted, known, criterion="result")
    assert quality > 5 * noise
    quality, level, noise = importance(fitted, known, criterion="mse")
    assert level > quality > 5 * noise  # the level of a group has the larger spread, which the squared error wants


def test_the_judge_is_the_official_evaluation() -> None:
    known = videos()
    predicted = known.mos + np.random.default_rng(1).normal(size=len(known.mos))
    assert Judge("result", known)(predicted) == evaluate(known.group, known.mos, predicted).result
    assert Judge("result", known)(-known.mos) == -1, "a reversed bag is the worst, not the best"
    assert Judge("mse", known)(known.mos + 2) == pytest.approx(-4)
    # Where every group is small, the largest sets the threshold.
    small = videos(size=5)
    assert Judge("result", small)(small.mos) == pytest.approx(1)


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="There are 2 references for 3 inner folds"):
        tune(videos(groups=2))
    with pytest.raises(ValueError, match="The largest group has 2 videos, which ranks nothing"):
        tune(videos(size=2))
