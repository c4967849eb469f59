"""Pixel rules: sizes and places by hand. The published fragments stand in tests/parity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import Fragments, OfficialFragments
from cvqa_models.video.pixel_rules import Crop, Fit, Native, PixelRule, Resize
from cvqa_models.video.reader import read_views
from cvqa_models.video.view import View

RULES: list[PixelRule] = [
    Resize(64, 48),
    Crop(32, short=40),
    Crop(32, short=32, kernel="bicubic"),
    Crop(48, random=True),
    Fit(90, 160, "bicubic"),
    Fragments((3, 4), 16),
    Fragments((3, 4), 16, random=True),
    OfficialFragments((3, 4), 16),
    Native(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
@pytest.mark.parametrize("size", [(20, 30), (108, 192), (192, 108), (81, 77)])
def test_the_cut_has_the_promised_size(rule: PixelRule, size: tuple[int, int]) -> None:
    frame = np.zeros((*rule.scaled_size(*size), 3), np.uint8)
    for rng in (None, np.random.default_rng(0)):
        assert rule.cut(frame, rule.draw(*size, 1, rng)[0]).shape == (*rule.output_size(*size), 3)


def test_keys_are_unique() -> None:
    assert len({rule.key for rule in RULES}) == len(RULES)


def test_crop_scales_the_short_side_and_takes_the_centre() -> None:
    rule = Crop(384, short=384)
    assert rule.scaled_size(1080, 1920) == (384, 682)
    assert rule.scaled_size(1920, 1080) == (682, 384)
    assert rule.draw(1080, 1920, 1, None)[0].tolist() == [0, 149]


def test_a_random_crop_reaches_every_place() -> None:
    rule, rng = Crop(4, random=True), np.random.default_rng(0)
    places = {tuple(place.tolist()) for place in rule.draw(5, 6, 200, rng)}
    assert places == {(i, j) for i in range(2) for j in range(3)}


def test_fit_centres_on_black() -> None:
    rule = Fit(10, 20)
    frame = np.full((*rule.scaled_size(50, 50), 3), 9, np.uint8)
    cut = rule.cut(frame, rule.draw(50, 50, 1, None)[0])
    assert frame.shape == (10, 10, 3)
    assert (cut[:, 5:15] == 9).all()
    assert cut.sum() == 9 * 300


def test_fragments_are_native_patches_from_the_centres_of_their_cells() -> None:
    frame = np.arange(60 * 80, dtype=np.int64).reshape(60, 80, 1).repeat(3, 2).astype(np.uint8)
    rule = Fragments((2, 2), 10)
    cut = rule.cut(frame, rule.draw(60, 80, 1, None)[0])
    np.testing.assert_array_equal(cut[10:, :10], frame[40:50, 15:25])


def test_small_frames_are_seen_whole_unless_official() -> None:
    def reach(rule: Fragments) -> int:
        return int(rule.draw(100, 200, 1, None)[0][1].max())

    assert Fragments().scaled_size(100, 200) == (224, 448)
    assert reach(Fragments()) > 6 * 64
    assert reach(OfficialFragments()) < 200


def test_a_crop_larger_than_the_scaled_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="`short` is 200; expected at least the crop's `size`, 224"):
        Crop(224, short=200)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Resize(0, 4), "`height` of Resize is 0; expected at least 1"),
        (lambda: Fit(4, -1), "`width` of Fit is -1; expected at least 1"),
        (lambda: Crop(0), "`size` of Crop is 0; expected at least 1"),
        (lambda: Fragments(patch=0), "`patch` of Fragments is 0; expected at least 1"),
        (lambda: Fragments((2, 0)), r"`grid` of Fragments is \[2, 0\]; expected two numbers above 0"),
    ],
)
def test_sizes_of_nothing_are_refused(make: Callable[[], PixelRule], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


@pytest.mark.parametrize("size", [(23, 37), (71, 90)])
def test_a_scaled_picture_keeps_the_colour_of_each_of_its_pixels(size: tuple[int, int], tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (54, 96, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "capture.png")
    view = View(UniformClips(1, 1), Resize(*size))
    ours = read_views(tmp_path / "capture.png", [view])[view.key][0]
    planes = torch.from_numpy(colours).permute(2, 0, 1)[None].float()
    expected = F.interpolate(planes, size, mode="bilinear", antialias=True).round()[0]
    inside = (slice(None), slice(1, -1), slice(1, -1))  # at the border FFmpeg repeats pixels, torch weighs fewer
    assert (ours[:, 0].float() - expected)[inside].abs().max() <= 1
