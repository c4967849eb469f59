import math

import pytest

from cvqa_models.corpus.encoding.encoders import BITRATE, Knob
from cvqa_models.corpus.encoding.search import nearest, search

CRF = Knob(("-crf", "{value:g}"), 0, 51, 0.1, -0.115, start=34)


class Encoder:
    """A made-up encoder whose log(rate) bends in the knob, and which counts its runs."""

    def __init__(self, knob: Knob, floor: float = 0.0) -> None:
        self.knob, self.floor, self.runs = knob, floor, 0

    def __call__(self, value: float) -> float:
        self.runs += 1
        position = self.knob.position(value)
        if self.knob.logarithmic:
            return max(1.4 * math.exp(position) ** 0.9, self.floor)
        return 9000 * math.exp(-0.09 * position - 0.0008 * position**2)


@pytest.mark.parametrize("knob", [CRF, BITRATE])
@pytest.mark.parametrize("target", [60, 400, 3000])
def test_reaches_a_rate_within_four_percent_in_a_few_tries(knob: Knob, target: float) -> None:
    encoder = Encoder(knob)
    tries = search(encoder, knob, target, 0.04, {})
    assert tries[nearest(tries, target)] == pytest.approx(target, rel=0.04)
    assert encoder.runs <= 5


def test_earlier_tries_are_used_and_not_repeated() -> None:
    encoder = Encoder(CRF)
    first = search(encoder, CRF, 400, 0.04, {})
    runs = encoder.runs
    assert search(encoder, CRF, 400, 0.04, first) == first
    assert encoder.runs == runs


def test_a_floor_ends_the_search_and_is_not_mistaken_for_a_hit() -> None:
    encoder = Encoder(BITRATE, floor=50)
    tries = search(encoder, BITRATE, 20, 0.04, {})
    assert tries[nearest(tries, 20)] == 50
    assert max(tries) < 1000  # a flat answer must not send the search far off


def test_coarse_steps_end_the_search() -> None:
    coarse = Knob(("-qp", "{value:g}"), 0, 51, 1, -0.115, start=34)
    encoder = Encoder(coarse)
    tries = search(encoder, coarse, 333, 0.0001, {})
    assert tries[nearest(tries, 333)] == pytest.approx(333, rel=0.08)
    assert encoder.runs == len(tries)
