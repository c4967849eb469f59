"""Frames that are counted from second to second: numbers by hand, and those of the authors' loops."""

from __future__ import annotations

import pytest

from cvqa_models.video.frame_rules import FrameTimes
from cvqa_models.video.second_middles import OfficialMidChunks, OfficialMiddles, OfficialStarts, OfficialWholeSeconds


def frame_times(frames: int, fps: float) -> FrameTimes:
    return FrameTimes(frames, fps, tuple(index / (fps or 25) for index in range(frames)))


def looped(frames: int, fps: float, rest: int) -> list[int]:
    """Return the numbers that pass the authors' test in their loop over all frames."""
    period = round(fps)
    return [n for n in range(frames) if n % period == rest]


@pytest.mark.parametrize(
    ("frames", "fps"), [(300, 30.0), (240, 24.0), (78, 30.0), (150, 29.97), (500, 50.0), (31, 1.0)]
)
def test_all_middles_and_starts_are_those_of_the_loop(frames: int, fps: float) -> None:
    found = OfficialMiddles(None).indices(frame_times(frames, fps))
    assert found.shape[1] == 1
    assert found.flatten().tolist() == looped(frames, fps, round(fps) // 2)
    assert OfficialStarts(None).indices(frame_times(frames, fps)).flatten().tolist() == looped(frames, fps, 0)


def test_more_middles_than_whole_seconds_are_all_there() -> None:
    # CompressedVQA-HDR's program has room for 2 and fails at the third.
    assert OfficialMiddles(None).indices(frame_times(78, 30)).flatten().tolist() == [15, 45, 75]


def test_every_other_one_of_eight_and_the_last_again() -> None:
    rule = OfficialMiddles(4, step=2)
    assert rule.indices(frame_times(600, 30)).flatten().tolist() == [15, 75, 135, 195]
    assert rule.indices(frame_times(150, 30)).flatten().tolist() == [15, 75, 135, 135]
    assert OfficialStarts(4, step=2).indices(frame_times(150, 30)).flatten().tolist() == [0, 60, 120, 120]


def test_the_first_eight_of_a_long_video() -> None:
    assert OfficialMiddles(8).indices(frame_times(600, 30)).flatten().tolist() == list(range(15, 255, 30))


def test_a_video_that_ends_before_its_first_middle_shows_its_last_frame() -> None:
    assert OfficialMiddles(2).indices(frame_times(10, 30)).flatten().tolist() == [9, 9]


def test_a_rate_that_rounds_to_nothing_takes_every_frame() -> None:
    assert OfficialMiddles(None).indices(frame_times(4, 0.4)).flatten().tolist() == [0, 1, 2, 3]


def looped_chunks(frames: int, period: int) -> list[list[int]]:
    """Return the frames of chunks as MinimalisticVQA's loops over a list of all frames leave them."""
    everything = list(range(frames // period * period))
    chunks = []
    for second in range(frames // period):
        own = everything[second * period : (second + 1) * period]
        middle = len(own) // 2
        chunks.append(own[middle - 16 : middle + 16] if len(own) > 32 else own + own[-1:] * (32 - len(own)))
    return chunks + chunks[-1:] * (8 - len(chunks))


@pytest.mark.parametrize(("frames", "fps"), [(300, 30.0), (617, 60.0), (90, 29.97), (250, 25.0), (330, 33.0)])
def test_whole_seconds_and_their_middle_chunks_are_those_of_the_loops(frames: int, fps: float) -> None:
    period = round(fps)
    middles = looped(frames, fps, period // 2)[: max(frames // period, 8)]
    middles += middles[-1:] * (8 - len(middles))
    assert OfficialWholeSeconds().indices(frame_times(frames, fps)).flatten().tolist() == middles
    chunks = OfficialMidChunks().indices(frame_times(frames, fps))
    assert chunks.tolist() == looped_chunks(frames, period)
    assert len(chunks) == max(frames // period, 8)


def test_a_video_of_less_than_a_second_is_one_chunk() -> None:
    assert OfficialMidChunks(2, 4).indices(frame_times(3, 30)).tolist() == [[0, 1, 2, 2]] * 2


def test_keys_tell_rules_apart() -> None:
    rules = [kind(count, step) for kind in (OfficialMiddles, OfficialStarts) for count in (4, None) for step in (1, 2)]
    assert len({rule.key for rule in rules}) == len(rules)


def test_refuses_no_frames() -> None:
    with pytest.raises(ValueError, match="`at_least` of OfficialWholeSeconds is 0; expected at least 1"):
        OfficialWholeSeconds(0)
    with pytest.raises(ValueError, match="`clip_length` of OfficialMidChunks is 0; expected at least 1"):
        OfficialMidChunks(8, 0)
    with pytest.raises(ValueError, match="`step` of OfficialMiddles is 0; expected at least 1"):
        OfficialMiddles(8, 0)
