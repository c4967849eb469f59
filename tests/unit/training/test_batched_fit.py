"""Fits that run together against one plain training loop for each."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training.batched_fit import HeadFit, fit_many
from cvqa_models.types import Batch
from tests.unit.training.cached import model, planted

STEPS, EVERY = 12, 4


def one_by_one(start: MultiBranch, used: Tensor, decay: float, batch: Batch) -> Tensor:
    """Train on the chosen videos alone with torch's own AdamW; return the scores of all videos."""
    own = copy.deepcopy(start)
    rows = torch.nonzero(used)[:, 0]
    chosen = replace(
        batch,
        mos=batch.mos[rows],
        weight=batch.weight[rows],
        group=batch.group[rows],
        video_id=[batch.video_id[row] for row in rows],
        features={name: x[rows] for name, x in batch.features.items()},
    )
    own.fit_inputs([chosen])
    matrices = [p for p in own.parameters() if p.ndim > 1]
    vectors = [p for p in own.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    warmup = round(own.recipe.warmup * STEPS)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = own.recipe.lr_head * min(1.0, (step + 1) / (warmup + 1))
        total, count = own.training_loss(own.features(chosen), chosen)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    with torch.no_grad():
        return level_free(own.eval()(batch))


def level_free(scores: Tensor) -> Tensor:
    """Return scores minus their mean: losses are blind to the level, where Adam enlarges the gradient's rounding."""
    return scores - scores.mean()


@pytest.mark.parametrize("hidden", [None, 4])
def test_each_of_many_fits_is_the_fit_alone(hidden: int | None) -> None:
    batch = planted(groups=6)
    batch.weight[3] = 0
    batch.mos[11] = float("nan")
    models = [model(hidden, seed) for seed in (0, 1)]
    fits = [
        HeadFit(start, batch.group != left_out, decay)
        for start in models
        for left_out in (0, 4)
        for decay in (0.1, 5.0)
    ]
    together = fit_many(fits, batch, steps=STEPS, every=EVERY)
    assert together.shape == (8, 3, len(batch))
    for scores, fit in zip(together, fits, strict=True):
        alone = one_by_one(fit.model, fit.used, fit.decay, batch)
        torch.testing.assert_close(level_free(scores[-1]), alone, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(
    "loss", [GroupLoss({"plcc": 1.0, "srocc": 1.0, "anchor": 0.05}), GroupLoss({"pooled_plcc": 1.0, "anchor": 0.05})]
)
def test_groups_of_many_sizes_are_all_seen(loss: GroupLoss) -> None:
    batch = planted(groups=6)
    keep = torch.ones(len(batch), dtype=torch.bool)
    keep[[0, 1, 2, 8, 9, 10, 11, 16]] = False  # groups of 5, 4, 7 and 8
    rows = torch.nonzero(keep)[:, 0]
    smaller = Batch(
        video_id=[batch.video_id[row] for row in rows],
        group_name=[batch.group_name[row] for row in rows],
        group=batch.group[rows],
        mos=batch.mos[rows],
        weight=batch.weight[rows],
        features={"table": batch.features["table"][rows]},
    )
    start = model()
    start.loss = loss
    fit = HeadFit(start, torch.ones(len(rows), dtype=torch.bool), 0.1)
    scores = fit_many([fit], smaller, steps=STEPS, every=STEPS)[0, 0]
    torch.testing.assert_close(level_free(scores), one_by_one(start, fit.used, 0.1, smaller), atol=2e-4, rtol=2e-4)


def test_dropout_is_drawn_for_each_fit_and_off_in_scores() -> None:
    batch = planted(groups=4)
    used = torch.ones(len(batch), dtype=torch.bool)
    start = model(hidden=8, dropout=0.5)
    scores = fit_many([HeadFit(start, used, 0.0)] * 2, batch, steps=4, every=4)
    assert not torch.allclose(scores[0], scores[1])
    start = model(hidden=8, dropout=0.5, lr_head=0.0)
    scores = fit_many([HeadFit(start, used, 0.0)] * 2, batch, steps=4, every=4)
    assert torch.equal(scores[0], scores[1])


def test_a_fit_without_a_group_is_refused() -> None:
    batch = planted(groups=4)
    with pytest.raises(ValueError, match="A fit has no group whose labels differ; use fewer folds"):
        fit_many(
            [HeadFit(model(), batch.group == 0, 0.0), HeadFit(model(), torch.arange(len(batch)) == 0, 0.0)],
            batch,
            steps=1,
            every=1,
        )
