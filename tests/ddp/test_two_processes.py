"""Two gloo processes train and evaluate as one process does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def run(ranks: int, folder: Path) -> dict[str, dict]:
    out = folder / f"{ranks}.pt"
    worker = Path(__file__).with_name("fit_worker.py")
    # A fresh process, since forking one whose thread pools have started can hang.
    subprocess.run(
        [sys.executable, str(worker), str(ranks), str(out)],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    content: dict[str, dict] = torch.load(out, weights_only=True)
    return content


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict], dict[str, dict]]:
    folder = tmp_path_factory.mktemp("ddp")
    return run(1, folder), run(2, folder)


def test_two_ranks_train_to_the_same_weights(runs: tuple[dict[str, dict], dict[str, dict]]) -> None:
    """Whole groups per rank, unequal numbers of valid groups, one rank without any: the gradient is one process's."""
    one, two = runs
    assert one["state"].keys() == two["state"].keys()
    for name, value in one["state"].items():
        torch.testing.assert_close(two["state"][name], value, atol=1e-5, rtol=1e-4)


def test_two_ranks_log_the_same_metrics(runs: tuple[dict[str, dict], dict[str, dict]]) -> None:
    """Three validation batches on two ranks: the sampler repeats one, and the metrics must not count it twice."""
    one, two = runs
    assert set(one["metrics"]) == {"val/srocc", "val/plcc", "val/krocc", "val/result"}
    assert two["metrics"] == pytest.approx(one["metrics"], abs=1e-5)
