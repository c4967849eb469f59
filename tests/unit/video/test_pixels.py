"""Pixel rules: sizes and places by hand, and the published fragments bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cvqa_models.video.pixels import Crop, Fit, Fragments, Native, PixelRule, Resize

REFERENCE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"

RULES: list[PixelRule] = [
    Resize(64, 48),
    Crop(32, short=40),
    Crop(32, short=32, kernel="bicubic"),
    Crop(48, random=True),
    Fit(90, 160, "bicubic"),
    Fragments((3, 4), 16),
    Fragments((3, 4), 16, random=True),
    Fragments((3, 4), 16, sampling="official"),
    Native(),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
@pytest.mark.parametrize("size", [(20, 30), (108, 192), (192, 108), (81, 77)])
def test_the_cut_has_the_promised_size(rule: PixelRule, size: tuple[int, int]) -> None:
    frame = np.zeros((*rule.scaled_size(*size), 3), np.uint8)
    for rng in (None, np.random.default_rng(0)):
        assert rule.cut(frame, rule.draw(*size, 0, rng)).shape == (*rule.output_size(*size), 3)


def test_keys_are_unique() -> None:
    assert len({rule.key for rule in RULES}) == len(RULES)


def test_crop_scales_the_short_side_and_takes_the_centre() -> None:
    rule = Crop(384, short=384)
    assert rule.scaled_size(1080, 1920) == (384, 682)
    assert rule.scaled_size(1920, 1080) == (682, 384)
    assert rule.draw(1080, 1920, 0, None).tolist() == [0, 149]


def test_a_random_crop_reaches_every_place() -> None:
    rule, rng = Crop(4, random=True), np.random.default_rng(0)
    places = {tuple(rule.draw(5, 6, 0, rng).tolist()) for _ in range(200)}
    assert places == {(i, j) for i in range(2) for j in range(3)}


def test_fit_centres_on_black() -> None:
    rule = Fit(10, 20)
    frame = np.full((*rule.scaled_size(50, 50), 3), 9, np.uint8)
    cut = rule.cut(frame, rule.draw(50, 50, 0, None))
    assert frame.shape == (10, 10, 3)
    assert (cut[:, 5:15] == 9).all()
    assert cut.sum() == 9 * 300


def test_fragments_are_native_patches_from_the_centres_of_their_cells() -> None:
    frame = np.arange(60 * 80, dtype=np.int64).reshape(60, 80, 1).repeat(3, 2).astype(np.uint8)
    rule = Fragments((2, 2), 10)
    cut = rule.cut(frame, rule.draw(60, 80, 0, None))
    np.testing.assert_array_equal(cut[10:, :10], frame[40:50, 15:25])


def test_small_frames_are_seen_whole_unless_official() -> None:
    def reach(rule: Fragments) -> int:
        return int(rule.draw(100, 200, 0, None)[1].max())

    assert Fragments().scaled_size(100, 200) == (224, 448)
    assert reach(Fragments()) > 6 * 64
    assert reach(Fragments(sampling="official")) < 200


def test_official_fragments_are_the_published_ones() -> None:
    path = REFERENCE / "cover_sampling.json"
    if not path.exists():
        pytest.skip(f"the reference numbers '{path.name}' are not on this machine")
    seen = 0
    for case in json.loads(path.read_text())["fragments"]:
        shape = json.loads(case["input"][len("(clip(") : case["input"].index("],") + 1])
        if case["aligned"] < shape[1]:
            continue  # two clips drawn together; here every clip has a draw of its own
        noise = torch.rand(shape, generator=torch.Generator().manual_seed(7))
        rule = Fragments(sampling="official")
        places = rule.draw(*shape[2:], 0, None)
        frames = (noise * 256).to(torch.uint8).permute(1, 2, 3, 0).numpy()
        spliced = np.stack([rule.cut(frame, places) for frame in frames]).transpose(3, 0, 1, 2)
        assert hashlib.sha256(np.ascontiguousarray(spliced).tobytes()).hexdigest() == case["sha256_uint8"]
        seen += 1
    assert seen == 3


def test_a_crop_larger_than_the_scaled_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="`short` is 200; expected at least the crop's `size`, 224"):
        Crop(224, short=200)
