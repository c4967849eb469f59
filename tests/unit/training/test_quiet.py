"""A run says what a user can act on, and nothing of what is meant or advertised."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from lightning_utilities.core import rank_zero

from cvqa_models.training.cli import run_cli
from cvqa_models.training.quiet import ADVERTISED, keep_quiet
from tests.cli.table_run import fit_words, write_inputs


def run(folder: Path, *more: str) -> None:
    run_cli(fit_words(write_inputs(folder), folder / "run", "--trainer.max_epochs=1", *more))


@pytest.mark.parametrize("quiet", [False, True])
def test_a_fit_and_its_going_on_warn_of_nothing(quiet: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filters = list(rank_zero.log.filters)
    rank_zero.log.filters.clear()
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.INFO):
        warnings.simplefilter("always")
        if quiet:
            keep_quiet()
        run(tmp_path)
        run(tmp_path, "--ckpt_path=last", "--trainer.max_epochs=2")
    rank_zero.log.filters[:] = filters
    said = [str(one.message) for one in caught]
    assert bool(said) is not quiet, said  # without it Lightning still says them, or this filter is in vain
    assert any(line.startswith(ADVERTISED) for line in caplog.messages) is not quiet
    assert any("stopped: `max_epochs=" in line for line in caplog.messages)


def test_what_ranks_compute_alike_is_not_complained_of_and_other_warnings_are_shown() -> None:
    text = "It is recommended to use `self.log({!r}, ..., sync_dist=True)` when logging on epoch level in distributed"
    filters = list(rank_zero.log.filters)
    rank_zero.log.filters.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keep_quiet()
        for name in ("val/srocc", "test/result", "own/score"):
            warnings.warn(text.format(name), stacklevel=1)
        warnings.warn("The 'val_dataloader' does not have many workers", stacklevel=1)
    rank_zero.log.filters[:] = filters
    assert [str(one.message)[:40] for one in caught] == [
        text.format("own/score")[:40],
        "The 'val_dataloader' does not have many ",
    ]
