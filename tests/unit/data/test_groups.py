"""Rows of groups, random parts of them, and whole groups per rank."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DistributedSampler

from cvqa_models.data.adapters.cvqad import Cvqad
from cvqa_models.data.groups import Deck, EpochSampler, draw_rows, group_rows, in_pieces
from cvqa_models.data.splits import Split, divide
from cvqa_models.types import VideoRecord

CVQAD = Path(__file__).resolve().parents[4] / "shared" / "data" / "cvqad" / "Subjective_scores.csv"


def ladders(groups: int, size: int, visits: float = 1.0) -> list[VideoRecord]:
    """Groups as CVQAD's: encodes of one source."""
    return [
        VideoRecord(f"g{g}_{i}", None, f"g{g}", f"r{g // 3}", visits=visits) for g in range(groups) for i in range(size)
    ]


def pool(count: int, visits: float = 1.0) -> list[VideoRecord]:
    """A data set without groups: every video a source of its own."""
    return [VideoRecord(f"p{i}", None, "pool", f"p{i}", visits=visits) for i in range(count)]


def deck(records: list[VideoRecord], size: int | None = 8, seed: int = 0) -> Deck:
    return Deck(group_rows(records), records, size, seed)


def dealt(records: list[VideoRecord], ranks: int, epoch: int, size: int | None = 8) -> list[list[list[int]]]:
    """Return, for each rank, the rows of each item in the order of training."""
    cards = deck(records, size)
    samplers = [
        EpochSampler(range(len(cards)), num_replicas=ranks, rank=rank, seed=0, epoch=epoch) for rank in range(ranks)
    ]
    return [[cards.rows(*index) for index in sampler] for sampler in samplers]


def test_rows_of_groups_keep_the_order() -> None:
    records = [VideoRecord(str(i), None, group, group) for i, group in enumerate("babca")]
    assert group_rows(records) == [[0, 2], [1, 4], [3]]


def test_chunks_cover_every_row_once() -> None:
    assert in_pieces([[0, 1, 2, 3, 4], [5]], 2) == [[0, 1], [2, 3], [4], [5]]
    assert in_pieces([[0, 1, 2]], None) == [[0, 1, 2]]


def test_a_draw_is_a_sorted_subset_that_favours_nobody() -> None:
    rows = [10, 11, 12, 13]
    drawn = [draw_rows(rows, 2, np.random.default_rng(seed)) for seed in range(400)]
    assert all(len(set(d)) == 2 and d == sorted(d) and set(d) <= set(rows) for d in drawn)
    counts = np.bincount(np.concatenate(drawn) - 10)
    assert counts.min() > 150  # 200 expected, standard deviation 10
    assert draw_rows(rows, None, np.random.default_rng(0)) == draw_rows(rows, 9, np.random.default_rng(0)) == rows


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


def test_the_order_is_that_of_the_stock_sampler() -> None:
    for count, ranks in [(20, 1), (21, 2), (7, 3), (2, 5)]:
        for rank in range(ranks):
            stock = DistributedSampler(range(count), num_replicas=ranks, rank=rank, seed=4)  # type: ignore[arg-type]
            own = EpochSampler(range(count), num_replicas=ranks, rank=rank, seed=4)
            for epoch in (0, 5):
                stock.set_epoch(epoch)
                own.set_epoch(epoch)
                assert list(own) == [(epoch, item) for item in stock]
                assert len(own) == len(stock) == len(list(own))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_set_without_groups_is_seen_once_per_epoch_by_all_ranks_together(ranks: int) -> None:
    records = pool(1800)
    epochs = [dealt(records, ranks, epoch) for epoch in (0, 1)]
    for own in epochs:
        items = [rows for rank in own for rows in rank]
        # 225 items on two ranks: one is repeated, so that both take as many steps.
        assert [len(rank) for rank in own] == ([225] if ranks == 1 else [113, 113])
        assert {len(rows) for rows in items} == {8}
        seen = Counter(row for rows in items for row in rows)
        assert set(seen) == set(range(1800))
        assert sum(seen.values()) == 1800 + 8 * (ranks - 1)
    if ranks == 2:
        shared = {row for rows in epochs[0][0] for row in rows} & {row for rows in epochs[0][1] for row in rows}
        assert len(shared) == 8, "of the repeated item alone"
    assert {tuple(rows) for rank in epochs[0] for rows in rank}.isdisjoint(tuple(r) for rank in epochs[1] for r in rank)


@pytest.mark.parametrize("count", [9, 17, 1801])
def test_pieces_differ_in_length_by_one_at_most(count: int) -> None:
    lengths = [len(rows) for rows in dealt(pool(count), 1, 0)[0]]
    assert sum(lengths) == count
    assert max(lengths) <= 8
    assert max(lengths) - min(lengths) <= 1
    assert dealt(pool(count), 1, 0, size=None) == [[list(range(count))]]


def test_groups_of_one_source_keep_their_items_and_draws() -> None:
    """By hand, as it was before pieces: one item a group, a draw per (seed, epoch, item), the stock order."""
    records = ladders(12, 18)
    for epoch in range(3):
        stock = DistributedSampler(range(12), num_replicas=2, rank=1, seed=0)  # type: ignore[arg-type]
        stock.set_epoch(epoch)
        expected = []
        for item in stock:
            chosen = np.random.default_rng((0, epoch, item)).choice(18, size=8, replace=False)
            expected.append(sorted(18 * item + place for place in chosen.tolist()))
        assert dealt(records, 2, epoch)[1] == expected


@pytest.mark.skipif(not CVQAD.is_file(), reason="needs ../shared/data/cvqad")
def test_the_items_of_cvqad_are_what_they_were() -> None:
    """The digest was taken of the code before pieces: 41 training groups, four epochs, one to three ranks."""
    records = divide(Cvqad(str(CVQAD)).records(), Split(val=0.15, test=0.15))["train"]
    cards = deck(records)
    seen = []
    for epoch in range(4):
        for ranks in (1, 2, 3):
            for rank in range(ranks):
                sampler = EpochSampler(range(len(cards)), num_replicas=ranks, rank=rank, seed=0, epoch=epoch)
                seen.append([[list(index), [records[row].video_id for row in cards.rows(*index)]] for index in sampler])
    assert len(cards) == 41
    digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
    assert digest == "ccae7445d6acefb424609741b6112262456f45bb6b735c800c08cb2d84a0fa43"


def test_a_weight_says_how_often_the_items_of_a_source_come() -> None:
    records = [*ladders(10, 4, visits=2.5), *pool(80, visits=0.25)]
    cards = deck(records)
    assert len(cards) == 25 + 2  # of the pool's ten pieces
    counts: Counter[str] = Counter()
    for epoch in range(40):
        items = [cards.rows(epoch, item) for item in range(len(cards))]
        groups = Counter(records[rows[0]].group for rows in items)
        assert groups.pop("pool") == 2
        assert set(groups.values()) == {2, 3}
        counts.update(groups)
        pooled = [row for rows in items for row in rows if row >= 40]
        assert len(set(pooled)) == len(pooled) == 16
    assert set(counts.values()) == {100}, "over epochs every group comes as often as every other"
    assert len(deck(pool(8, visits=0.01))) == 1, "never less than one item"


def test_a_piece_whose_videos_are_broken_is_drawn_from_the_rest_of_its_group() -> None:
    cards = deck(pool(24))
    first = cards.rows(0, 0)
    assert cards.rows(0, 0, broken=first[:3]) == first[3:]
    others = cards.rows(0, 0, broken=first)
    assert len(others) == 8
    assert set(others).isdisjoint(first)
    assert cards.rows(0, 0, broken=range(24)) == []
    assert list(cards.group(0, 0)) == list(range(24))


def test_an_epoch_goes_on_where_it_stood() -> None:
    whole = [item for _, item in EpochSampler(range(30), num_replicas=1, rank=0, seed=0, epoch=2)]
    for ranks in (1, 2, 3):
        samplers = [
            EpochSampler(range(30), num_replicas=ranks, rank=rank, seed=0, epoch=2, done=12) for rank in range(ranks)
        ]
        assert sorted(item for sampler in samplers for _, item in sampler) == sorted(whole[12:])
        assert samplers[0].done == 12
        samplers[0].set_epoch(3)
        assert len(list(samplers[0])) == 30 // ranks
        assert samplers[0].done == 0
    assert list(EpochSampler(range(30), num_replicas=2, rank=0, seed=0, done=30)) == []
