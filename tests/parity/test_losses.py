"""Values and gradients of losses against the published implementations' own output (float32, six digits)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from cvqa_models.losses.correlation import krocc_loss, plcc_loss
from cvqa_models.losses.published import dover_plcc_loss, dover_rank_loss, fidelity_loss, norm_in_norm_loss
from tests.parity.summary import assert_close

HERE = Path(__file__).parent
SETS = json.loads((HERE / "losses.json").read_text())["sets"]
# COVER's `rplcc_loss` and `lr_factor_warm250_max1000` have no counterpart here: the authors train without the first,
# and our schedule ends at 0 where theirs is cut off at 0.15.
COVER = json.loads((HERE / "cover_losses.json").read_text())["cases"]
SPREAD = ["n8", "n8 tied labels", "n8 tied predictions"]
OURS = {
    "hvs_plcc (1-rho)/2": partial(plcc_loss, eps=1e-12),
    "norm_in_norm p2 q2": partial(plcc_loss, eps=1e-12),
    "norm_in_norm p1 q2": norm_in_norm_loss,
    "liqe_fidelity (loss_m3)": fidelity_loss,
    "dover_plcc_loss": dover_plcc_loss,
    "dover_rank_loss": dover_rank_loss,
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("case", SPREAD)
def test_value_and_gradient(case, name) -> None:
    numbers = SETS[case]
    pred = torch.tensor(numbers["pred"], requires_grad=True)
    value = OURS[name](pred, torch.tensor(numbers["label"]))
    (gradient,) = torch.autograd.grad(value, pred)
    # 1e-5: the inputs are rounded to six digits, and a gradient divides by the spread of eight scores in (0, 1).
    assert_close(value, numbers[name]["loss"], rtol=1e-6, atol=2e-6)
    assert_close(gradient, numbers[name]["grad"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["norm_in_norm p1 q2", "liqe_fidelity (loss_m3)", "dover_plcc_loss", "dover_rank_loss"]
)
@pytest.mark.parametrize("case", ["n6 constant predictions", "n6 constant labels"])
def test_value_of_constant_groups(case, name) -> None:
    numbers = SETS[case]
    if name.startswith("norm_in_norm") and case.endswith("labels"):
        pytest.skip("the published loss of a constant label group is rounding noise; ours centres to exact zeros")
    value = OURS[name](torch.tensor(numbers["pred"]), torch.tensor(numbers["label"]))
    assert_close(value, numbers[name]["loss"], rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("width", ["0.1", "1"])
@pytest.mark.parametrize("case", SPREAD)
def test_tanh_kendall_at_a_fixed_width(case, width) -> None:
    pred, mos = (torch.tensor(SETS[case][key], dtype=torch.float64) for key in ("pred", "label"))
    spread = (pred.var(unbiased=False) + 1e-4).sqrt().item()
    value = krocc_loss(pred, mos, temperature=float(width) / spread)
    # The reference is 1 - tau, ours half of it.
    assert 2 * value.item() == pytest.approx(SETS[case][f"tau_tanh T={width} (own)"]["loss"], abs=1e-5)


@pytest.mark.parametrize("case", COVER, ids=lambda case: f"n{case['n']}")
@pytest.mark.parametrize("name", ["plcc_loss", "rank_loss"])
def test_cover_training_losses(case, name) -> None:
    drawn = [torch.rand((case["n"], 1), generator=torch.Generator().manual_seed(seed)) for seed in case["seeds"]]
    pred, mos = drawn[0].squeeze(1).requires_grad_(), drawn[1].squeeze(1) * 4 + 1
    value = {"plcc_loss": dover_plcc_loss, "rank_loss": dover_rank_loss}[name](pred, mos)
    (gradient,) = torch.autograd.grad(value, pred)
    assert_close(value, case[name], rtol=1e-6, atol=2e-6)
    assert_close(gradient, case[f"{name}_grad"], rtol=1e-4, atol=5e-6)
