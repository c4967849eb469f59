"""Drawn pictures, captions and sparks."""

import numpy as np
import pytest

from cvqa_models.corpus.synthetic.overlays import captioned, drawing, sparkling

DARK = [np.full((90, 160, 3), 20, np.uint8)] * 6


@pytest.mark.parametrize("kind", ["text", "slide", "shapes", "gradient", "fractal"])
def test_a_drawing_has_its_size_and_repeats_with_its_seed(kind: str) -> None:
    first, again, other = (drawing(kind, 200, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (200, 200, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


def test_shapes_are_sharp_and_gradients_smooth() -> None:
    steps = {kind: abs(np.diff(drawing(kind, 200, np.random.default_rng(0)).astype(int), axis=1)) for kind in _KINDS}
    assert steps["gradient"].max() <= 3
    assert steps["text"].max() > 20
    assert steps["shapes"].max() > 20
    assert steps["fractal"].max() > 20


def test_a_slide_is_black_on_white_or_white_on_black_and_mostly_empty() -> None:
    for seed in range(4):
        slide = drawing("slide", 200, np.random.default_rng(seed))
        assert (slide == slide[..., :1]).all()
        assert (slide == slide[0, 0]).all(2).mean() > 0.6
        assert slide[0, 0, 0] in (0, 255)


_KINDS = ("text", "shapes", "gradient", "fractal")


def test_a_caption_stands_still() -> None:
    frames = np.stack(list(captioned(DARK, np.random.default_rng(3))))
    assert frames.shape == (6, 90, 160, 3)
    assert (frames == frames[0]).all()
    assert 0.001 < (frames[0] != 20).any(2).mean() < 0.5


def test_sparks_brighten_and_fly_apart() -> None:
    frames = np.stack(list(sparkling(DARK, np.random.default_rng(0)))).astype(int)
    assert frames.min() >= 20
    lit = [np.argwhere(frame.max(2) > 60) for frame in frames]
    assert all(len(places) > 10 for places in lit)
    assert lit[-1].std(0).sum() > lit[0].std(0).sum()
