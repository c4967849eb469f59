from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from cvqa_models.metrics.accumulate import GroupAccumulator
from cvqa_models.metrics.group_score import Thresholds, evaluate

RNG = np.random.default_rng(0)
GROUP = [f"g{k // 16}" for k in range(48)]
IDS = [f"v{k:02}" for k in range(48)]  # sorted as they stand: sums in another order differ in their last bit
MOS = RNG.normal(size=48)
SCORE = MOS + RNG.normal(size=48)


def add(scores: GroupAccumulator, rows: list[int]) -> None:
    tensors = (torch.tensor(values[rows]) for values in (MOS, SCORE))
    scores.update([IDS[k] for k in rows], [GROUP[k] for k in rows], *tensors)


def test_batches_add_up_to_one_evaluation() -> None:
    scores = GroupAccumulator()
    for start in range(0, 48, 7):
        add(scores, list(range(start, min(start + 7, 48))))
    assert scores.compute() == evaluate(GROUP, MOS, SCORE)
    scores.reset()
    assert scores.compute().videos == 0


def test_a_repeated_video_counts_once_and_a_video_in_two_groups_twice() -> None:
    scores = GroupAccumulator(Thresholds(3, 3, 3))
    for _ in range(2):
        scores.update(["a", "b", "c"], ["one"] * 3, torch.arange(3.0), torch.tensor([0.0, 2, 1]))
    scores.update(["a", "b", "c"], ["two"] * 3, torch.arange(3.0), torch.arange(3.0, dtype=torch.bfloat16))
    assert [(row.group, row.n) for row in scores.compute().groups] == [("one", 3), ("two", 3)]


@pytest.mark.parametrize(
    ("size", "used"), [(20, (15, 6, 6)), (15, (15, 6, 6)), (10, (10, 6, 6)), (4, (4, 4, 4)), (2, (3, 3, 3))]
)
def test_a_threshold_that_no_group_reaches_is_lowered_to_the_largest(size: int, used: tuple[int, int, int]) -> None:
    scores = GroupAccumulator()
    # Neither a group of one label nor videos without a label make a group that can be ranked.
    names = ["largest"] * size + ["smaller"] * (size - 1) + ["constant"] * 30 + ["unlabelled"] * 30
    mos = [*np.arange(size), *np.arange(size - 1), *[1.0] * 30, *[np.nan] * 30]
    values = RNG.normal(size=len(names))
    scores.update([f"v{k}" for k in range(len(names))], names, torch.tensor(mos), torch.tensor(values))
    result = scores.compute()
    assert scores.used == Thresholds(*used)
    official = evaluate(names, mos, values, thresholds=Thresholds(*used))
    np.testing.assert_equal(result.result, official.result)
    assert np.isnan(result.result) == (size < 3)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have \[1, 1, 2, 1\] entries"):
        GroupAccumulator().update(["a"], ["g"], torch.zeros(2), torch.zeros(1))


def _rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    scores = GroupAccumulator()
    # Ranks hold different numbers of videos, and videos 0 and 1 are on both, as after a sampler's padding.
    add(scores, list(range(20)) if rank == 0 else [0, 1, *range(20, 48)])
    torch.save(vars(scores.compute()) | {"groups": None}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.start_processes(_rank, args=(str(tmp_path),), nprocs=2, start_method="fork")
    expected = vars(evaluate(GROUP, MOS, SCORE)) | {"groups": None}
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == expected
