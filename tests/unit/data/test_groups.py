"""Rows of groups, random parts of them, and whole groups per rank."""

from __future__ import annotations

import numpy as np
import pytest

from cvqa_models.data.groups import EpochSampler, chunk, draw, group_rows
from cvqa_models.types import VideoRecord


def test_rows_of_groups_keep_the_order() -> None:
    records = [VideoRecord(str(i), None, group, group) for i, group in enumerate("babca")]
    assert group_rows(records) == [[0, 2], [1, 4], [3]]


def test_chunks_cover_every_row_once() -> None:
    assert chunk([[0, 1, 2, 3, 4], [5]], 2) == [[0, 1], [2, 3], [4], [5]]
    assert chunk([[0, 1, 2]], None) == [[0, 1, 2]]


def test_a_draw_is_a_sorted_subset_that_favours_nobody() -> None:
    rows = [10, 11, 12, 13]
    drawn = [draw(rows, 2, np.random.default_rng(seed)) for seed in range(400)]
    assert all(len(set(d)) == 2 and d == sorted(d) and set(d) <= set(rows) for d in drawn)
    counts = np.bincount(np.concatenate(drawn) - 10)
    assert counts.min() > 150  # 200 expected, standard deviation 10
    assert draw(rows, None, np.random.default_rng(0)) == draw(rows, 9, np.random.default_rng(0)) == rows


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_get_whole_groups_and_equally_many(ranks: int) -> None:
    dealt = [list(EpochSampler(range(57), num_replicas=ranks, rank=rank, seed=0)) for rank in range(ranks)]
    assert len({len(items) for items in dealt}) == 1
    assert {item for items in dealt for _, item in items} == set(range(57))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    sampler = EpochSampler(range(20), num_replicas=1, rank=0, seed=3)
    first = list(sampler)
    sampler.set_epoch(2)
    third = list(sampler)
    assert third != first
    assert [epoch for epoch, _ in third] == [2] * 20
    assert list(EpochSampler(range(20), num_replicas=1, rank=0, seed=3, epoch=2)) == third
