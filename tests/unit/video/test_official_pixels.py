"""Scaling as Pillow and OpenCV do it, to the level; PyTorch's stands among the views of tests/parity/test_evqa.py."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, RandomCrop, Resize

from cvqa_models.video.official_pixels import (
    OfficialCrop,
    OfficialOpenCvCrop,
    OfficialResize,
    OfficialSharedFragments,
    opencv_bilinear,
)
from cvqa_models.video.pixel_rules import PixelRule
from tests.parity.fill import clip

# Height and width before and after -> start of the sha256 of what `cv2.resize` of OpenCV 5.0.0 makes of `picture`.
OPENCV = {
    ((90, 160), (40, 71)): "0068e09cc0d4d5cd",
    ((90, 67), (53, 40)): "fa36f51549531fd6",
    ((20, 30), (40, 60)): "674afcf74fed218c",
    ((80, 142), (40, 71)): "8d6063182e501f25",
}


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return (clip((height, width, 3), height) * 256).to(torch.uint8).numpy()


@pytest.mark.parametrize(("before", "after"), OPENCV)
def test_opencvs_levels(before: tuple[int, int], after: tuple[int, int]) -> None:
    scaled = opencv_bilinear(picture(*before), after)
    assert scaled.shape == (*after, 3)
    assert hashlib.sha256(scaled.tobytes()).hexdigest().startswith(OPENCV[before, after])


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (91, 133), (40, 40), (20, 31)])
def test_pillows_levels_and_torchvisions_centre(size: tuple[int, int]) -> None:
    frame, rule = picture(*size), OfficialCrop(32, short=40)
    expected = Compose([Resize(40), CenterCrop(32)])(Image.fromarray(frame))
    assert rule.scaled_size(*size) == size
    assert np.array_equal(rule.cut(frame, rule.draw(*size, 1, None)[0]), np.asarray(expected))


def test_pillows_levels_of_a_squeezed_frame() -> None:
    frame, rule = picture(90, 160), OfficialResize(40, 30)
    expected = Resize([40, 30])(Image.fromarray(frame))
    assert rule.scaled_size(90, 160) == (90, 160)
    assert np.array_equal(rule.cut(frame, rule.draw(90, 160, 1, None)[0]), np.asarray(expected))


def test_opencvs_centre_is_torchvisions() -> None:
    frame, rule = picture(90, 161), OfficialOpenCvCrop(40)
    scaled = Image.fromarray(opencv_bilinear(frame, (40, 71)))
    assert np.array_equal(rule.cut(frame, rule.draw(90, 161, 1, None)[0]), np.asarray(CenterCrop(40)(scaled)))


RULES: list[PixelRule] = [
    OfficialCrop(32, short=40, random=True),
    OfficialOpenCvCrop(32, short=40, random=True),
    OfficialSharedFragments((3, 4), 16, random=True),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
@pytest.mark.parametrize("size", [(108, 192), (192, 108), (30, 20), (81, 77)])
def test_the_cut_has_the_promised_size_wherever_it_is_drawn(rule: PixelRule, size: tuple[int, int]) -> None:
    for rng in (None, np.random.default_rng(0)):
        for place in rule.draw(*size, 3, rng):
            assert rule.cut(picture(*size), place).shape == (*rule.output_size(*size), 3)


def test_random_crops_reach_every_place() -> None:
    rule, rng = OfficialCrop(4, short=5, random=True), np.random.default_rng(0)
    places = {tuple(place.tolist()) for place in rule.draw(5, 6, 200, rng)}
    assert places == {(i, j) for i in range(2) for j in range(3)}
    assert RandomCrop.get_params(Image.fromarray(picture(5, 6)), (4, 4))[:2] in places


def test_all_frames_share_the_places_of_their_fragments() -> None:
    rule = OfficialSharedFragments((2, 2), 8, random=True)
    first, *others = rule.draw(60, 80, 4, None)
    assert all(np.array_equal(first, other) for other in others)
    assert not np.array_equal(first, rule.draw(60, 80, 1, np.random.default_rng(0))[0])
    generator = torch.Generator().manual_seed(8)
    rows, columns = (torch.randint(room, (2, 2, 1), generator=generator)[..., 0] for room in (22, 32))
    corners = np.array([[[0, 0], [30, 30]], [[0, 40], [0, 40]]])
    assert np.array_equal(first - corners, np.stack([rows, columns]))


def test_an_enlarged_frame_is_pytorchs_within_half_a_level() -> None:
    rule, frame = OfficialSharedFragments((2, 2), 16), picture(24, 40)
    places = np.array([[[0, 0], [16, 16]], [[0, 16], [0, 16]]])  # one after the other
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    larger = F.interpolate(pixels, scale_factor=32 / 24, mode="bilinear")[0, :, :32, :32].permute(1, 2, 0)
    assert (torch.from_numpy(rule.cut(frame, places).astype(np.float32)) - larger).abs().max() <= 0.501
