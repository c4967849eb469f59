"""Subjective pooling and the heads on it: windows, extremes, gradients, and what a score may depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cvqa_models.nn.gru_pool import GruPool, Hvs5mHead, LogisticMapping, subjective_pooling


def pooled_step_by_step(quality: list[float], tau: int, beta: float) -> list[float]:
    """Return the definition, one step at a time."""
    result = []
    for t in range(len(quality)):
        memory = min(quality[max(0, t - tau + 1) : t + 1])
        coming = quality[t : t + tau]
        weights = [math.exp(-q) for q in coming]
        reaction = sum(w * q for w, q in zip(weights, coming, strict=True)) / sum(weights)
        result.append(beta * reaction + (1 - beta) * memory)
    return result


@pytest.mark.parametrize("steps", [1, 2, 3, 11, 12, 13, 30])
@pytest.mark.parametrize(("tau", "beta"), [(12, 0.5), (3, 0.25), (1, 1.0)])
def test_pooling_follows_its_definition(steps: int, tau: int, beta: float) -> None:
    quality = torch.randn(2, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(steps))
    pooled = subjective_pooling(quality, tau, beta)
    assert pooled.dtype == torch.float64
    for row, values in zip(pooled.tolist(), quality.tolist(), strict=True):
        assert row == pytest.approx(pooled_step_by_step(values, tau, beta))


def test_constant_quality_stays() -> None:
    torch.testing.assert_close(subjective_pooling(torch.full((1, 20), 0.7)), torch.full((1, 20), 0.7))


@pytest.mark.parametrize("level", [-1e4, 1e4])
def test_extreme_quality_neither_overflows_nor_stops_learning(level: float) -> None:
    quality = (level + torch.randn(1, 30)).requires_grad_()
    pooled = subjective_pooling(quality)
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert quality.grad is not None
    assert quality.grad.isfinite().all()
    assert quality.grad.sum().item() == pytest.approx(30, rel=1e-3)


def test_a_moment_of_bad_quality_is_remembered() -> None:
    quality = torch.ones(1, 40)
    quality[0, 10] = 0.0
    pooled = subjective_pooling(quality)[0]
    assert (pooled[11:22] <= 0.5 + 1e-6).all()
    assert (pooled[22:] > 0.99).all()


@pytest.mark.parametrize("shape", [(5,), (2, 0), (2, 3, 1)])
def test_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, T\) with at least one step"):
        subjective_pooling(torch.zeros(shape))


def test_quality_of_a_step_depends_on_no_later_step() -> None:
    torch.manual_seed(0)
    pool, tokens = GruPool(6, 5, 4).eval(), torch.randn(2, 9, 6)
    torch.testing.assert_close(pool(tokens)[:, :4], pool(tokens[:, :4]))


def test_mapping_rises_and_its_last_layer_does_not_learn() -> None:
    mapping = LogisticMapping()
    relative = torch.linspace(0, 1, 11)
    mapped: Tensor = mapping(relative)
    assert (mapped.diff() > 0).all()
    assert mapped[5].item() == pytest.approx(0.5)
    assert [name for name, p in mapping.named_parameters() if not p.requires_grad] == ["scale.weight", "scale.bias"]


def test_hvs5m_head_keeps_the_order_of_relative_quality() -> None:
    torch.manual_seed(0)
    head, tokens = Hvs5mHead(6, 5, 4).eval(), torch.randn(8, 7, 6)
    relative = head.relative(tokens)
    assert ((relative > 0) & (relative < 1)).all()
    torch.testing.assert_close(head(tokens).argsort(), relative.argsort())
