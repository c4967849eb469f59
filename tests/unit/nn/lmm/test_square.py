"""Squares and crops against Pillow and against where they must lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cvqa_models.nn.lmm.square import PAD, local_crops, pad_to_square, square


def frames(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (2, 3, height // 4 + 1, width // 4 + 1), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


@pytest.mark.parametrize(("height", "width"), [(72, 128), (128, 72), (31, 30), (64, 64)])
@pytest.mark.parametrize("side", [56, 100])
def test_squares_are_those_of_pillow(height: int, width: int, side: int) -> None:
    given = frames(height, width)
    ours = square(given, side)
    longer = max(height, width)
    for frame, result in zip(given, ours, strict=True):
        canvas = Image.new("RGB", (longer, longer), PAD)
        corner = ((longer - width) // 2, (longer - height) // 2)
        canvas.paste(Image.fromarray(frame.permute(1, 2, 0).numpy()), corner)
        theirs = np.asarray(canvas.resize((side, side), Image.Resampling.BICUBIC))
        # Pillow's kernel is in fixed point, so that a value half way may fall on the other side.
        difference = np.abs(result.permute(1, 2, 0).numpy().astype(int) - theirs)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_padding_is_centred_and_keeps_the_frame() -> None:
    given = frames(20, 40)
    padded = pad_to_square(given)
    assert padded.shape == (2, 3, 40, 40)
    assert torch.equal(padded[:, :, 10:30], given)
    assert padded[0, :, 0, 0].tolist() == list(PAD)


def test_centred_crops_of_1080p_lie_in_the_middle_of_the_quadrants() -> None:
    position = torch.arange(1920).view(1, 1, 1, -1) % 251
    given = position.expand(1, 3, 1080, -1).to(torch.uint8)
    crops = local_crops(given, (2, 2), 448)
    assert crops.shape == (1, 4, 3, 448, 448)
    for crop, left in zip(crops[0], (256, 1216, 256, 1216), strict=True):
        assert torch.equal(crop, given[0, :, :448, left : left + 448])


def test_crops_lie_where_they_are_wanted_in_their_cells_and_stay_inside() -> None:
    given = frames(60, 90)
    places = torch.tensor([[0.5, 0.5]] * 4 + [[0.0, 0.0], [1.0, 0.5], [0.5, 0.8], [1.0, 1.0]]).view(2, 4, 2)
    crops = local_crops(given, (2, 2), 24, places)
    assert torch.equal(crops[0], local_crops(given, (2, 2), 24)[0])
    # By hand: cells of 30 x 45; centres at (0, 0), (30, 67.5), (45, 36) and (60, 90); 12 pixels to each side.
    for crop, (top, left) in zip(crops[1], [(0, 0), (18, 56), (33, 24), (36, 66)], strict=True):
        assert torch.equal(crop, given[1, :, top : top + 24, left : left + 24])


def test_a_frame_smaller_than_a_crop_is_padded() -> None:
    given = frames(20, 30)
    crop = local_crops(given, (1, 1), 56)[:, 0]
    assert torch.equal(crop[:, :, 18:38, 13:43], given)
    assert crop[0, :, 0, 0].tolist() == list(PAD)
