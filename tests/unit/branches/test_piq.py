"""Full-reference measures: PIQ's own numbers, turned so that larger is better."""

from __future__ import annotations

import sys

import piq
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from cvqa_models.branches.ms_ssim import MsSsimFrames
from cvqa_models.branches.piq import MEASURES, Measure, Piq

SIZE = (176, 192)


def pairs(noise: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Return one video of two frames beside their source, shape (1, 2, 6, 1, H, W)."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(30, 220, (1, 2, 3, 1, *size), dtype=torch.uint8, generator=generator)
    change = torch.randint(-noise, noise + 1, source.shape, generator=generator)
    return torch.cat([(source + change).to(torch.uint8), source], dim=2)


def test_all_ten_are_those_of_piq() -> None:
    x = pairs(20)
    tokens = Piq().tokens(x)
    assert tokens.shape == (1, 2, 10)
    distorted, source = (x[0, 1:, part, 0].float() / 255 for part in (slice(0, 3), slice(3, 6)))
    for index, function in enumerate(
        (piq.vsi, piq.fsim, piq.haarpsi, piq.gmsd, piq.multi_scale_gmsd, piq.ssim, piq.multi_scale_ssim, piq.dss)
    ):
        sign = -1 if function in (piq.gmsd, piq.multi_scale_gmsd) else 1
        assert tokens[0, 1, index] == sign * function(distorted, source)
    assert tokens[0, 1, 8:].tolist() == [piq.srsim(distorted, source).item(), -piq.mdsi(distorted, source).item()]


def test_each_falls_with_noise_and_is_best_for_equal_frames() -> None:
    branch = Piq()
    none, some, much = (branch(pairs(noise))[0] for noise in (0, 5, 25))
    assert (none > some).all()
    assert (some > much).all()
    assert none.tolist() == [int(name not in ("gmsd", "ms_gmsd", "mdsi")) for name in MEASURES]


def test_two_black_frames_are_equal_frames() -> None:
    assert Piq(["haarpsi"]).tokens(torch.zeros(1, 1, 6, 1, 32, 32, dtype=torch.uint8)).item() == 1


@pytest.mark.parametrize("measure", MEASURES)
def test_the_smallest_size_is_true(measure: Measure) -> None:
    smallest = MEASURES[measure].smallest
    assert Piq([measure])(pairs(20, (smallest, 200))).isfinite().all()
    if smallest > 2:
        with pytest.raises(ValueError, match=f"200x{smallest - 1}, but `{measure}` needs sides of at least {smallest}"):
            Piq([measure])(pairs(20, (smallest - 1, 200)))


def test_a_value_that_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piq, "gmsd", lambda *x, **options: torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match=r"PIQ's `gmsd` is nan on a frame; use another measure"):
        Piq(["gmsd"])(pairs(5))


def test_without_piq_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = Piq(["gmsd"])
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(ValueError, match=r"needs the package piq; `pip install 'cvqa_models\[fr\]'`"):
        branch(pairs(5))


def test_other_measures_have_other_keys() -> None:
    keys = {Piq(measures).demand.cache_key for measures in (None, ["ssim"], ["ssim", "gmsd"], ["gmsd", "ssim"])}
    assert len(keys) == 4


def test_ms_ssim_is_that_of_piq_on_luma_and_close_to_torchmetrics() -> None:
    x = pairs(25, (256, 256))
    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1) / 255
    luma = [[(part * weights).sum(1, keepdim=True) for part in frame.squeeze(2).chunk(2, 1)] for frame in x[0].split(1)]
    found = MsSsimFrames(num_clips=2).tokens(x)[0, :, 0]
    torch.testing.assert_close(found, torch.stack([piq.multi_scale_ssim(*pair) for pair in luma]))
    other = [multiscale_structural_similarity_index_measure(*pair, data_range=1.0) for pair in luma]
    torch.testing.assert_close(found, torch.stack(other), rtol=0, atol=3e-4)


def test_ms_ssim_refuses_small_frames() -> None:
    with pytest.raises(ValueError, match="Frames are 200x160, but `ms_ssim` needs sides of at least 161"):
        MsSsimFrames()(pairs(5, (160, 200)))
