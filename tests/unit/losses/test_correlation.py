"""Every loss of one group against scipy or its own definition, and the checklist of a loss."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from cvqa_models.losses.correlation import (
    anchor_loss,
    fisher_loss,
    krocc_loss,
    margin_loss,
    mse_loss,
    plcc_loss,
    ranknet_loss,
    srocc_loss,
    standard_mse_loss,
)
from cvqa_models.losses.pairs import by_rows, differences
from cvqa_models.losses.published import dover_plcc_loss, dover_rank_loss, fidelity_loss, norm_in_norm_loss

RANKING = [srocc_loss, krocc_loss, ranknet_loss, margin_loss]
LINEAR = [plcc_loss, fisher_loss, mse_loss, standard_mse_loss, anchor_loss, norm_in_norm_loss]
WEIGHTED = [*RANKING, *LINEAR, fidelity_loss]
EVERY = [*WEIGHTED, dover_plcc_loss, dover_rank_loss]
SCALED = [plcc_loss, srocc_loss, krocc_loss]
every_loss = pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
weighted_loss = pytest.mark.parametrize("loss", WEIGHTED, ids=lambda f: f.__name__)


def draw(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, n, generator=generator, dtype=torch.float64))  # type: ignore[return-value]


def with_ties(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    pred, mos = draw(n, seed)
    return (2 * pred).round(), (2 * mos).round()


@pytest.mark.parametrize("pair", [draw(3), draw(17, 1), with_ties(20, 2)], ids=["n3", "n17", "ties"])
@pytest.mark.parametrize(
    ("loss", "truth"),
    [
        (partial(plcc_loss, eps=0.0), stats.pearsonr),
        (partial(srocc_loss, temperature=1e-4, eps=0.0), stats.spearmanr),
    ],
    ids=["plcc", "srocc"],
)
def test_limit_is_scipys_coefficient(loss, truth, pair) -> None:
    pred, mos = pair
    assert loss(pred, mos).item() == pytest.approx((1 - truth(pred.numpy(), mos.numpy())[0]) / 2, abs=1e-9)


def test_krocc_limit_is_kendalls_tau() -> None:
    pred, mos = draw(17, 3)
    truth = stats.kendalltau(pred.numpy(), mos.numpy())[0]
    assert krocc_loss(pred, mos, temperature=1e-4).item() == pytest.approx((1 - truth) / 2, abs=1e-9)


def test_krocc_leaves_label_ties_out() -> None:
    pred, mos = with_ties(20, 4)
    up = np.sign(np.subtract.outer(mos.numpy(), mos.numpy()))
    truth = (up * np.sign(np.subtract.outer(pred.numpy(), pred.numpy()))).sum() / np.abs(up).sum()
    assert krocc_loss(pred, mos, temperature=1e-4).item() == pytest.approx((1 - truth) / 2, abs=1e-9)


@pytest.mark.parametrize("loss", [plcc_loss, fisher_loss, standard_mse_loss, anchor_loss, *RANKING])
@pytest.mark.parametrize("power", [-120, -70, 70, 120])
def test_labels_may_have_any_scale(loss, power: int) -> None:
    """Their squares leave float32 from 2**64 on. A power of two changes no digit, so the loss must be the same."""
    pred, mos = (x.float() for x in draw(9, 8))
    weight = torch.tensor([1.0] * 8 + [0])
    assert torch.equal(loss(pred, mos * 2.0**power, weight), loss(pred, mos, weight))


def test_ranknet_is_the_mean_over_ordered_pairs() -> None:
    pred, mos = with_ties(9, 5)
    pairs = [(i, j) for i in range(9) for j in range(9) if mos[i] > mos[j]]
    truth = np.mean([np.log1p(np.exp(-(pred[i] - pred[j]).item())) for i, j in pairs])
    assert ranknet_loss(pred, mos).item() == pytest.approx(truth)


def test_anchor_is_huber_to_z_scores() -> None:
    pred, mos = draw(12, 6)
    distance = np.abs((pred - pred.mean()).numpy() - stats.zscore(mos.numpy()))
    truth = np.where(distance < 1, distance**2 / 2, distance - 0.5).mean()
    assert anchor_loss(pred, mos).item() == pytest.approx(truth)


def test_margin_is_what_ordered_pairs_lack() -> None:
    pred, mos = with_ties(9, 5)
    spread = pred.numpy().std()
    pairs = [(i, j) for i in range(9) for j in range(9) if mos[i] > mos[j]]
    truth = np.mean([max(0.0, 0.3 - (pred[i] - pred[j]).item() / spread) for i, j in pairs])
    assert margin_loss(pred, mos).item() == pytest.approx(truth, rel=1e-3)  # the spread is kept from 0


def test_fisher_is_the_distance_of_two_z() -> None:
    pred, mos = draw(12, 6)
    truth = np.arctanh(0.999) - np.arctanh(0.999 * stats.pearsonr(pred.numpy(), mos.numpy())[0])
    assert fisher_loss(pred, mos, eps=0.0).item() == pytest.approx(truth)
    assert fisher_loss(2 * mos - 1, mos, eps=0.0).item() == pytest.approx(0, abs=1e-9)


def test_standard_mse_is_that_to_z_scores() -> None:
    pred, mos = draw(12, 7)
    truth = ((pred.numpy() - stats.zscore(mos.numpy())) ** 2).mean()
    assert standard_mse_loss(pred, mos).item() == pytest.approx(truth)


def test_mse_is_the_mean_squared_difference() -> None:
    pred, mos = draw(12, 7)
    assert mse_loss(pred, mos).item() == pytest.approx(((pred - mos).numpy() ** 2).mean())


@pytest.mark.parametrize("loss", SCALED, ids=lambda f: f.__name__)
def test_equal_order_is_best_and_reversed_order_worst(loss) -> None:
    mos = torch.arange(8, dtype=torch.float64)
    soft = {plcc_loss: 0.001, srocc_loss: 0.02, krocc_loss: 0.02}[loss]
    assert 0 <= loss(3 * mos - 7, mos).item() < soft
    assert 1 - soft < loss(-mos, mos).item() <= 1


@pytest.mark.parametrize("loss", [*RANKING, *(one for one in LINEAR if one is not mse_loss)], ids=lambda f: f.__name__)
def test_affine_change_of_mos_changes_nothing(loss) -> None:
    pred, mos = draw(11, 8)
    assert loss(pred, 1e-3 * mos + 5).item() == pytest.approx(loss(pred, mos).item(), abs=1e-6)


@every_loss
@pytest.mark.parametrize("n", [2, 3, 12])
def test_order_of_videos_does_not_matter(loss, n) -> None:
    pred, mos = draw(n, 9)
    shuffle = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(pred[shuffle], mos[shuffle]), loss(pred, mos))


@every_loss
@pytest.mark.parametrize("n", [2, 3, 7])
def test_gradient_is_the_derivative(loss, n) -> None:
    pred, mos = draw(n, 10)
    assert torch.autograd.gradcheck(lambda p: loss(p, mos), pred.requires_grad_())


@every_loss
@pytest.mark.parametrize("constant", ["pred", "mos"])
def test_constant_input_stays_finite(loss, constant) -> None:
    x, y = torch.full((6,), 0.1), draw(6)[0].float()
    pred, mos = (x, y) if constant == "pred" else (y, x.clone())
    pred = pred.clone().requires_grad_()
    value = loss(pred, mos)
    value.backward()
    assert value.isfinite()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize("loss", SCALED, ids=lambda f: f.__name__)
def test_constant_predictions_lose_half_and_are_pushed_apart_gently(loss) -> None:
    pred = torch.full((12,), 0.3, requires_grad=True)
    mos = torch.arange(12.0)
    value = loss(pred, mos)
    value.backward()
    assert value.item() == pytest.approx(0.5)
    assert pred.grad is not None
    assert pred.grad[-1] < 0 < pred.grad[0]
    assert pred.grad.norm() < {plcc_loss: 51, srocc_loss: 5000, krocc_loss: 500}[loss]


@pytest.mark.parametrize("loss", [srocc_loss, krocc_loss], ids=lambda f: f.__name__)
def test_gradient_does_not_inflate_the_scale(loss) -> None:
    pred, mos = draw(15, 11)
    pred = (3 * pred).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(pred, mos), pred)
    cosine = torch.cosine_similarity(gradient, (pred - pred.mean()).detach(), dim=0)
    assert abs(cosine) < 1e-3


@weighted_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(loss, dtype) -> None:
    pred, mos = draw(5, 12)
    assert loss(pred.to(dtype), mos.to(dtype)).dtype == dtype


@weighted_loss
def test_padding_with_weight_0_changes_nothing(loss) -> None:
    groups = [draw(n, n) for n in (3, 9, 6)]
    pred, mos, weight = (torch.zeros(3, 9, dtype=torch.float64) for _ in range(3))
    for row, pair in enumerate(groups):
        n = len(pair[0])
        pred[row, :n], mos[row, :n], weight[row, :n] = *pair, 1
        pred[row, n:] = 17.0
    expected = torch.stack([loss(*pair) for pair in groups])
    torch.testing.assert_close(loss(pred, mos, weight), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", [plcc_loss, mse_loss, anchor_loss], ids=lambda f: f.__name__)
def test_weight_2_counts_as_two_videos(loss) -> None:
    pred, mos = draw(6, 13)
    weight = torch.tensor([1, 2, 1, 3, 1, 1], dtype=torch.float64)
    twice = torch.repeat_interleave(torch.arange(6), weight.long())
    torch.testing.assert_close(loss(pred, mos, weight), loss(pred[twice], mos[twice]))


@every_loss
def test_different_shapes_are_refused(loss) -> None:
    with pytest.raises(ValueError, match=r"have shapes .*expected the same"):
        loss(torch.zeros(4), torch.zeros(5))


@every_loss
def test_one_video_is_refused(loss) -> None:
    with pytest.raises(ValueError, match="has 1 video; a group needs at least 2"):
        loss(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("at_once", [1, 200])
@pytest.mark.parametrize("loss", [*RANKING, fidelity_loss], ids=lambda f: f.__name__)
def test_pairs_in_blocks_have_the_value_and_gradient_of_all_pairs_together(loss, at_once: int, monkeypatch) -> None:
    pred, mos = (torch.stack([one, one.flip(0)]) for one in with_ties(31, 9))
    weight = torch.linspace(0, 1, 62, dtype=torch.float64).view(2, 31)
    found = []
    for pairs in (2**18, at_once):
        monkeypatch.setattr("cvqa_models.losses.pairs.AT_ONCE", pairs)
        x = pred.clone().requires_grad_()
        value = loss(x, mos, weight)
        found.append((value, *torch.autograd.grad((value * torch.tensor([1.0, -3.0])).sum(), x)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-13, atol=1e-15)


def test_a_block_of_pairs_is_bounded_however_large_a_group_is(monkeypatch) -> None:
    monkeypatch.setattr("cvqa_models.losses.pairs.AT_ONCE", 1000)
    sizes = []
    blocks = by_rows(lambda rows, x: sizes.append(differences(x, rows).numel()) or x[rows], torch.arange(300.0))
    assert torch.equal(torch.cat(blocks), torch.arange(300.0))
    assert max(sizes) <= 1000
