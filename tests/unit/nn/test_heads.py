"""Pooling over time and the fully connected head."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.heads import FcHead, Standardise, TemporalPool


def tokens() -> torch.Tensor:
    return torch.rand((3, 5, 4), generator=torch.Generator().manual_seed(0))


def test_mean_and_deviation_are_numpys() -> None:
    x = tokens()
    pooled = TemporalPool(4, "mean_std")(x).numpy()
    assert pooled[:, :4] == pytest.approx(x.numpy().mean(1), abs=1e-6)
    assert pooled[:, 4:] == pytest.approx(x.numpy().std(1), abs=1e-6)


def test_tokens_that_do_not_vary_have_no_spread_and_a_finite_gradient() -> None:
    x = torch.ones(2, 3, 4, requires_grad=True)
    pooled = TemporalPool(4, "mean_std")(x)
    pooled.sum().backward()
    assert not pooled[:, 4:].any()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 3))


def test_attention_starts_as_the_mean_and_learns_to_prefer_a_token() -> None:
    pool = TemporalPool(4, "attention")
    torch.testing.assert_close(pool(tokens()), tokens().mean(1))
    with torch.no_grad():
        pool.weight.weight[0, 0] = 1000.0
    best = tokens()[:, :, 0].argmax(1)
    torch.testing.assert_close(pool(tokens()), tokens()[torch.arange(3), best])


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "attention"])
def test_declared_width_is_the_width(pooling: str) -> None:
    pool = TemporalPool(4, pooling)  # type: ignore[arg-type]
    assert pool(tokens()).shape == (3, pool.dim)


def test_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="`pooling` is 'max'"):
        TemporalPool(4, "max")  # type: ignore[arg-type]


def test_a_linear_head_is_an_affine_map_of_the_normalised_vectors() -> None:
    head = FcHead([4], hidden=None).eval()
    a, b = torch.nn.functional.layer_norm(torch.randn(2, 3, 4), (4,)).unbind(0)
    middle = head.last(0.5 * (a + b)).squeeze(1)
    torch.testing.assert_close(middle, 0.5 * (head([a]) + head([b])), atol=1e-4, rtol=1e-4)


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    head = FcHead([4, 6]).eval()
    vectors = [torch.randn(5, 4), torch.randn(5, 6)]
    alone = torch.cat([head([v[i : i + 1] for v in vectors]) for i in range(5)])
    torch.testing.assert_close(head(vectors), alone, atol=1e-6, rtol=0)


def test_standardised_features_are_numpys_and_cut_off() -> None:
    x = torch.randn(200, 3) * torch.tensor([1.0, 50.0, 0.01]) + torch.tensor([0.0, 300.0, -2.0])
    x[:, 2] = 7.0  # a constant column
    layer = Standardise(3)
    layer.fit(x)
    z = layer(x).numpy()
    column = x[:, 1].numpy().astype(float)
    assert z[:, 1] == pytest.approx((column - column.mean()) / column.std(), abs=1e-3)
    assert not z[:, 2].any()
    assert layer(torch.full((1, 3), 1e6)).max() == 5
    assert set(layer.state_dict()) == {"mean", "deviation"}


def test_a_standard_head_starts_at_the_mean_label() -> None:
    head = FcHead([2, 3], hidden=None, norm="standard")
    vectors = [100 * torch.randn(50, 2) + 30, torch.rand(50, 3)]
    mos = torch.rand(50) + 4
    head.fit(vectors, mos)
    torch.testing.assert_close(head(vectors).mean(), mos.mean())


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="`norm` is 'batch'; expected 'layer' or 'standard'"):
        FcHead([4], norm="batch")  # type: ignore[arg-type]
