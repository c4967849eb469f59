"""Patches at native resolution: never enlarged unless a side is too short, and all over the frame."""

import numpy as np
import pytest

from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.in_memory import in_memory
from cvqa_models.video.patches import Fragments, NativePatches, OfficialFragments
from cvqa_models.video.plan import Plan
from cvqa_models.video.view import View

RULE = NativePatches((3, 4), 112, random=True)


@pytest.mark.parametrize("size", [(1080, 1920), (180, 320), (240, 426), (112, 112), (640, 360)])
def test_no_frame_that_holds_a_patch_is_scaled_and_no_patch_leaves_it(size: tuple[int, int]) -> None:
    assert RULE.scaled_size(*size) == size
    assert RULE.output_size(*size) == (336, 448)
    for rng in (None, np.random.default_rng(0)):
        for origin in RULE.draw(*size, 9, rng):
            assert origin.shape == (2, 3, 4)
            assert (origin >= 0).all()
            assert (origin + 112 <= np.array(size).reshape(2, 1, 1)).all()


def test_a_frame_with_a_side_below_a_patch_is_enlarged_to_it() -> None:
    assert RULE.scaled_size(56, 200) == (112, 400)
    assert RULE.draw(56, 200, 1, None)[0][0].tolist() == [[0] * 4] * 3


def test_evaluation_looks_elsewhere_in_each_clip_but_always_alike() -> None:
    places = RULE.draw(720, 1280, 8, None)
    assert len({place.tobytes() for place in places}) == 8
    assert (RULE.draw(720, 1280, 4, None)[3] == places[3]).all()
    seen = np.zeros((720, 1280), bool)
    for place in places:
        for top, left in place.reshape(2, -1).T:
            seen[top : top + 112, left : left + 112] = True
    assert seen.mean() > 0.6  # 96 patches side by side would cover 1.3 frames


def test_training_draws_a_place_in_each_cell() -> None:
    draws = RULE.draw(720, 1280, 200, np.random.default_rng(0))
    tops, lefts = np.stack(draws)[:, 0], np.stack(draws)[:, 1]
    assert ((tops[:, 1] >= 609 / 3 - 1) & (tops[:, 1] <= 2 * 609 / 3)).all()
    assert lefts[:, :, 0].min() < 15
    assert lefts[:, :, 3].max() > 1169 - 15


def test_the_patches_are_cut_out_unchanged() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    [origin] = RULE.draw(180, 320, 1, None)
    spliced = RULE.cut(frame, origin)
    top, left = origin[:, 2, 1]
    assert (spliced[224:336, 112:224] == frame[top : top + 112, left : left + 112]).all()


def test_keys_tell_the_rules_apart() -> None:
    assert RULE.key == "native3x4x112-random"
    assert NativePatches((1, 2), 64).key == "native1x2x64"


def test_places_hold_for_as_many_frames_as_are_aligned() -> None:
    """A ramp tells where a patch was: its first pixel is the place."""
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3))
    frames = in_memory(np.stack([ramp] * 16), 25.0)
    for aligned, draws in ((None, 2), (4, 4), (2, 8)):
        view = View(UniformClips(2, 8), OfficialFragments((2, 2), 32, aligned=aligned))
        clips = {index: clip for _, index, clip in frames.iter_clips([view])}
        tops = np.stack([clips[index][0, :, ::32, 0].numpy() for index in range(2)]).reshape(16, 2)
        each = 16 // draws
        assert all((tops[start : start + each] == tops[start]).all() for start in range(0, 16, each))
        drawn = [tuple(place[0, :, 0]) for place in view.pixels.draw(200, 200, draws, None)]
        assert [tuple(top) for top in tops[::each]] == drawn


def test_training_draws_as_often_as_frames_are_aligned() -> None:
    frames = in_memory(np.zeros((16, 200, 200, 3), np.uint8), 25.0)
    for aligned, draws in ((None, 2), (4, 4)):
        view = View(UniformClips(2, 8), Fragments((2, 2), 32, random=True, aligned=aligned))
        plan = Plan(view, frames.info, np.random.default_rng(0))
        assert len({places.tobytes() for places in plan.offsets}) == draws


def test_keys_tell_how_many_frames_are_aligned() -> None:
    keys = [rule(random=True, aligned=8).key for rule in (Fragments, OfficialFragments, NativePatches)]
    assert keys == ["frag7x7x32-random-aligned8", "frag7x7x32-random-aligned8-official", "native7x7x32-random-aligned8"]
    assert Fragments().key == "frag7x7x32"


def test_a_clip_that_does_not_part_into_aligned_frames_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`aligned` of Fragments is 3, but a clip of `clip2x8s1` has 8 frames; expected"
    ):
        View(UniformClips(2, 8), Fragments(aligned=3))
    with pytest.raises(ValueError, match="`aligned` of Fragments is 0; expected at least 1"):
        Fragments(aligned=0)
