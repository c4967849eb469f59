"""A system that reports a rescaled score: what it reports, what stands beside it, and what it learns by."""

from __future__ import annotations

import torch
from torch import Tensor

from cvqa_models.models.rescaled import Rescaled
from cvqa_models.nn.rescaling import Logistic
from cvqa_models.training.module import Recipe
from tests.unit.models.test_compression_rq_vqa import Given
from tests.unit.training.test_full_precision import cached


class FirstValue(Rescaled):
    """The first value of the first token."""

    def __init__(self, rescale: Logistic | None) -> None:
        super().__init__({"a": Given(3)}, None, Recipe(), rescale)

    def raw(self, features: dict[str, Tensor]) -> Tensor:
        return features["a"][:, 0, 0]


def test_raw_stands_beside_the_rescaled_score() -> None:
    curve = Logistic(0.1, 0.04)
    model, batch = FirstValue(curve), cached(FirstValue(None))
    raw = batch.features["a"][:, 0, 0]
    predictions = model.predict_step(batch, 0)
    assert [one.details for one in predictions] == [{"raw": value} for value in raw.tolist()]
    assert [one.score for one in predictions] == curve(raw).tolist()


def test_without_a_curve_the_raw_score_is_reported_alone() -> None:
    model = FirstValue(None)
    batch = cached(model)
    predictions = model.predict_step(batch, 0)
    assert [one.score for one in predictions] == batch.features["a"][:, 0, 0].tolist()
    assert all(one.details == {} for one in predictions)


def test_the_loss_sees_raw_scores() -> None:
    """At the flat ends of the curve all scores are 1, of which no loss could learn."""
    curve, plain = FirstValue(Logistic(-100.0, 0.01)), FirstValue(None)
    batch = cached(plain)
    assert torch.equal(curve(batch), torch.ones(3))
    assert torch.equal(curve.training_loss(batch.features, batch)[0], plain.training_loss(batch.features, batch)[0])
