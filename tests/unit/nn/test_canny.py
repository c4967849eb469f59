"""Canny edges on pictures whose edges are known."""

from __future__ import annotations

import pytest
import torch

from cvqa_models.nn.canny import canny


def test_a_step_gives_one_line_on_its_dark_side() -> None:
    image = torch.zeros(1, 9, 12, dtype=torch.uint8)
    image[:, :, 6:] = 200
    edges = canny(image, 5, 140)
    # Both columns beside the step have the same gradient; the left one is an edge, as in OpenCV.
    assert edges[0].nonzero().tolist() == [[row, 5] for row in range(9)]
    assert edges.unique().tolist() == [0, 255]
    turned = canny(image.transpose(1, 2).contiguous(), 5, 140)
    torch.testing.assert_close(turned, edges.transpose(1, 2))


def test_a_weak_crest_is_kept_only_where_it_touches_a_strong_one() -> None:
    image = torch.zeros(2, 20, 12, dtype=torch.uint8)
    image[:, :, 6:] = 20  # gradient 80: weak
    image[0, :5, 6:] = 200  # strong above, in the first picture only
    edges = canny(image, 5, 140)
    assert (edges[0, 8:, 5] == 255).all()
    assert not edges[1].any()


def test_flat_and_tiny_pictures_have_no_edges() -> None:
    for shape in ((1, 5, 5), (3, 1, 1), (2, 1, 7)):
        assert not canny(torch.full(shape, 90, dtype=torch.uint8), 5, 140).any()


def test_pictures_do_not_touch_each_other() -> None:
    images = torch.randint(0, 256, (4, 30, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([canny(image[None], 200, 700) for image in images])
    torch.testing.assert_close(canny(images, 200, 700), alone)


@pytest.mark.parametrize("image", [torch.zeros(1, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)])
def test_anything_but_bytes_of_three_axes_is_refused(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected torch\.uint8 of shape \(M, H, W\)"):
        canny(image, 5, 140)
