"""An unfinished epoch on other ranks, with other batches: every item once, and counters that end with the epoch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.loops.progress import _BatchProgress, _Progress

from cvqa_models.data.groups import EpochSampler
from cvqa_models.data.progress import TrainingProgress


def stand(ranks: int, epoch: int, batches: int, *, finished: bool = False) -> Any:
    """Return a trainer of which only the counters are there: inside an epoch, or after it."""
    epochs, steps = _Progress(), _BatchProgress()
    epochs.current.ready, epochs.current.processed = epoch + 1, epoch + finished
    for name in ("ready", "started", "processed"):
        setattr(steps.current, name, batches)
    steps.current.completed = batches - 1  # as a callback at the end of the step sees it
    loop = SimpleNamespace(epoch_progress=epochs, epoch_loop=SimpleNamespace(batch_progress=steps))
    return SimpleNamespace(world_size=ranks, fit_loop=loop)


def batches_of(items: int, ranks: int, per_batch: int, epoch: int, done: int) -> list[list[list[int]]]:
    """Return the batches of each rank."""
    own = []
    for rank in range(ranks):
        sampler = EpochSampler(range(items), num_replicas=ranks, rank=rank, seed=0, epoch=epoch, done=done)
        order = [item for _, item in sampler]
        own.append([order[start : start + per_batch] for start in range(0, len(order), per_batch)])
    return own


sizes = st.integers(1, 4)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), sizes, sizes, sizes, sizes, st.data())
def test_a_resumed_epoch_has_each_item_once(
    items: int, ranks: int, per_batch: int, ranks_after: int, per_batch_after: int, data: st.DataObject
) -> None:
    first = batches_of(items, ranks, per_batch, 2, 0)
    stopped = data.draw(st.integers(1, len(first[0])))
    before = TrainingProgress(stand(ranks, 2, stopped), items, per_batch)
    done = before.items_done()
    seen = [item for rank in first for batch in rank[:stopped] for item in batch]
    trainer = stand(ranks_after, 2, stopped)
    epoch, skipped = TrainingProgress(trainer, items, per_batch_after).resume(done)
    if len(set(seen)) == items:
        assert (epoch, skipped) == (3, 0), "nothing of the epoch is left"
        return
    assert (epoch, skipped) == (2, done)
    rest = batches_of(items, ranks_after, per_batch_after, epoch, skipped)
    assert len({len(rank) for rank in rest}) == 1, "every rank takes as many steps"
    after = [item for rank in rest for batch in rank for item in batch]
    assert sorted({*seen, *after}) == list(range(items))
    assert len(after) - (items - done) < ranks_after, "each once, but for what makes the ranks' numbers equal"
    current = trainer.fit_loop.epoch_loop.batch_progress.current
    per_epoch = len(batches_of(items, ranks_after, per_batch_after, epoch, 0)[0])
    assert current.ready + len(rest[0]) == per_epoch, "Lightning's epoch ends with the last batch"
    assert current.completed == current.processed - 1


def test_items_are_counted_over_two_interruptions() -> None:
    trainer = stand(2, 0, 3)
    progress = TrainingProgress(trainer, 40, 1)
    assert progress.items_done() == 6
    trainer = stand(1, 0, 3)
    progress = TrainingProgress(trainer, 40, 2)
    assert progress.resume(6) == (0, 6)
    trainer.fit_loop.epoch_loop.batch_progress.current.processed += 4
    assert progress.items_done() == 6 + 4 * 2
    trainer.fit_loop.epoch_progress.current.processed = 1  # the next epoch
    trainer.fit_loop.epoch_loop.batch_progress.current.processed = 4
    assert progress.items_done() == 4 * 2


@pytest.mark.parametrize("done", [None, 5])
def test_a_finished_epoch_is_followed_by_the_next(done: int | None) -> None:
    assert TrainingProgress(stand(1, 4, 10, finished=True), 10, 1).resume(done) == (5, 0)


def test_a_checkpoint_without_the_count_goes_by_its_batches() -> None:
    assert TrainingProgress(stand(2, 1, 3), 40, 2).resume(None) == (1, 12)
