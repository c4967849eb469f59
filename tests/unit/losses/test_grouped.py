"""The vectorised group loss against a plain loop over groups, and what it leaves out."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
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
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.losses.published import fidelity_loss, norm_in_norm_loss

TERMS = {
    "plcc": plcc_loss,
    "srocc": srocc_loss,
    "krocc": krocc_loss,
    "ranknet": ranknet_loss,
    "margin": margin_loss,
    "fisher": fisher_loss,
    "norm_in_norm": norm_in_norm_loss,
    "fidelity": fidelity_loss,
    "mse": mse_loss,
    "standard_mse": standard_mse_loss,
    "anchor": anchor_loss,
}
ALL = {**dict.fromkeys(TERMS, 1.0), "pooled_plcc": 1.0}
SIZES = [9, 27, 3, 12]


def batch(sizes: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return pred, mos and group of groups of these sizes, videos in random order, group numbers with gaps."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.cat([torch.full((n,), 3 * k + 1) for k, n in enumerate(sizes)])
    group = group[torch.randperm(len(group), generator=generator)]
    pred, mos = torch.randn(2, len(group), generator=generator, dtype=torch.float64)
    return pred, mos, group


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_the_sum_of_the_one_group_losses(name) -> None:
    pred, mos, group = batch(SIZES)
    total, count = GroupLoss({name: 2.0})(pred, mos, group)
    expected = sum(TERMS[name](pred[group == k], mos[group == k]) for k in group.unique())
    torch.testing.assert_close(total, 2 * expected)
    assert count.item() == 4
    assert count.dtype == torch.int64


def test_the_pooled_correlation_is_over_all_videos_and_counts_as_one_group_does() -> None:
    pred, mos, group = batch(SIZES)
    total, count = GroupLoss({"pooled_plcc": 1.0})(pred, mos, group)
    torch.testing.assert_close(total / count, plcc_loss(pred, mos))
    total, count = GroupLoss({"pooled_plcc": 1.0}, by_size=True)(pred, mos, group)
    torch.testing.assert_close(total / count, plcc_loss(pred, mos))


def test_defaults_are_the_three_correlations_and_a_weak_anchor() -> None:
    pred, mos, group = batch([14])
    expected = sum(loss(pred, mos) for loss in (plcc_loss, srocc_loss, krocc_loss)) + 0.05 * anchor_loss(pred, mos)
    torch.testing.assert_close(GroupLoss()(pred, mos, group)[0], expected)


def test_a_term_that_is_not_named_is_left_out_and_the_order_of_names_changes_no_bit() -> None:
    pred, mos, group = batch(SIZES)
    one, other = GroupLoss({"plcc": 1.0, "anchor": 0.1}), GroupLoss({"mse": 0.0, "anchor": 0.1, "plcc": 1.0})
    expected = sum(
        plcc_loss(pred[group == k], mos[group == k]) + 0.1 * anchor_loss(pred[group == k], mos[group == k])
        for k in group.unique()
    )
    torch.testing.assert_close(one(pred, mos, group)[0], expected)
    assert torch.equal(one(pred, mos, group)[0], other(pred, mos, group)[0])


def test_temperature_reaches_ranks_and_pairs() -> None:
    pred, mos, group = batch([14])
    loss = GroupLoss({"srocc": 1.0, "krocc": 1.0}, temperature=0.1)
    expected = srocc_loss(pred, mos, temperature=0.1) + krocc_loss(pred, mos, temperature=0.1)
    torch.testing.assert_close(loss(pred, mos, group)[0], expected)


def test_gradient_is_the_derivative() -> None:
    pred, mos, group = batch([4, 2, 1, 5])
    loss = GroupLoss(ALL)
    assert torch.autograd.gradcheck(lambda p: loss(p, mos, group)[0], pred.requires_grad_())


def test_groups_that_cannot_be_compared_are_not_counted() -> None:
    pred, mos, group = batch([6, 1, 4, 5])
    mos[group == 7] = 2.5  # no spread of labels
    mos[group == 10] = torch.nan  # no labels at all
    total, count = GroupLoss()(pred, mos, group)
    alone = group == 1
    torch.testing.assert_close(total, GroupLoss()(pred[alone], mos[alone], group[alone])[0])
    assert count.item() == 1


def test_unlabelled_and_weightless_videos_are_left_out() -> None:
    pred, mos, group = batch([8, 8])
    weight = torch.ones_like(mos)
    mos[0], weight[3] = torch.nan, 0
    pred = pred.requires_grad_()
    total, _ = GroupLoss()(pred, mos, group, weight)
    used = torch.tensor([i not in (0, 3) for i in range(16)])
    torch.testing.assert_close(total, GroupLoss()(pred[used], mos[used], group[used])[0])
    (gradient,) = torch.autograd.grad(total, pred)
    assert gradient[0] == gradient[3] == 0
    assert gradient.isfinite().all()


def test_a_pair_teaches_its_order_but_not_its_line() -> None:
    pred, mos, group = batch([2])
    pred = pred.requires_grad_()
    total, count = GroupLoss({"plcc": 1.0, "srocc": 1.0})(pred, mos, group)
    assert (total.item(), count.item()) == (0, 1)
    total, _ = GroupLoss({"ranknet": 1.0})(pred, mos, group)
    assert torch.autograd.grad(total, pred)[0].abs().min() > 0.01


@pytest.mark.parametrize("sizes", [[], [1], [1, 1]])
def test_no_valid_group_gives_a_zero_that_can_go_backward(sizes) -> None:
    pred, mos, group = batch(sizes) if sizes else (torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    pred = pred.requires_grad_()
    total, count = GroupLoss()(pred, mos, group)
    total.backward()
    assert (total.item(), count.item()) == (0, 0)
    assert pred.grad is not None
    assert not pred.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_and_autocast_compute_in_float32(dtype) -> None:
    pred, mos, group = batch(SIZES)
    low = pred.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = GroupLoss()(low, mos.float(), group)
    total.backward()
    assert total.dtype == torch.float32
    assert low.grad is not None
    assert low.grad.isfinite().all()
    torch.testing.assert_close(total, GroupLoss()(low.detach().float(), mos.float(), group)[0], rtol=0, atol=0)


def test_constant_predictions_in_float32_stay_finite() -> None:
    _, mos, group = batch(SIZES)
    pred = torch.full((len(mos),), 0.1, requires_grad=True)
    GroupLoss(ALL)(pred, mos.float(), group)[0].backward()
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


@pytest.mark.parametrize("start", [0.5, 2.0])
def test_training_finds_the_order_and_one_scale(start) -> None:
    noise, mos, group = batch([15, 15], seed=2)
    pred = (start * noise.float()).requires_grad_()
    optimizer = torch.optim.Adam([pred], lr=0.1)
    for _ in range(250):
        optimizer.zero_grad()
        GroupLoss()(pred, mos.float(), group)[0].backward()
        optimizer.step()
    for k in group.unique():
        assert pred[group == k].argsort().tolist() == mos[group == k].argsort().tolist()
        assert pred[group == k].std().item() == pytest.approx(1, abs=0.3)  # the anchor's doing


def test_it_can_be_copied_to_other_processes() -> None:
    pred, mos, group = batch(SIZES)
    loss = GroupLoss()
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(twin(pred, mos, group), loss(pred, mos, group))


def test_groups_count_once_or_by_their_size() -> None:
    pred, mos, group = batch([4, 9, 1])
    alone = [GroupLoss()(pred[group == k], mos[group == k], group[group == k])[0] for k in (1, 4)]
    total, count = GroupLoss()(pred, mos, group)
    torch.testing.assert_close((total, count.item()), (alone[0] + alone[1], 2))
    total, count = GroupLoss(by_size=True)(pred, mos, group)
    torch.testing.assert_close((total, count.item()), (4 * alone[0] + 9 * alone[1], 13))


def test_many_models_at_once_are_each_on_its_own() -> None:
    pred, mos = torch.randn(3, 4, 6), torch.randn(4, 6).expand(3, 4, 6)
    weight = torch.ones(3, 4, 6)
    weight[1, 2] = 0  # the second model does not see the third group
    loss = GroupLoss(ALL)
    value, count_of = loss.per_group(pred, mos, weight)
    assert count_of.sum(1).tolist() == [4, 3, 4]
    for one in range(3):
        rows = weight[one].flatten() > 0
        group = torch.arange(4).repeat_interleave(6)[rows]
        total, count = loss(pred[one].flatten()[rows], mos[one].flatten()[rows], group)
        torch.testing.assert_close((total, count), (value[one].sum(), count_of[one].sum()))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have shapes .*expected the same \(B,\)"):
        GroupLoss()(torch.zeros(3, 1), torch.zeros(3), torch.zeros(3))


def test_bad_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="weight of `srocc` is -1"):
        GroupLoss({"srocc": -1})
    with pytest.raises(ValueError, match="weight of `srocc` is nan; expected a finite number"):
        GroupLoss({"srocc": math.nan})
    for nothing in ({}, {"plcc": 0.0}):
        with pytest.raises(ValueError, match="All weights of the loss are 0"):
            GroupLoss(nothing)
    with pytest.raises(ValueError, match="`terms` names 'srcc', which is no term; expected some of plcc, srocc"):
        GroupLoss({"plcc": 1.0, "srcc": 1.0})
    with pytest.raises(ValueError, match="`temperature` is 0; expected a positive"):
        GroupLoss(temperature=0)
