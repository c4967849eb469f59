"""A level scorer sharded over two processes (FSDP2, gloo) trains, validates, saves and resumes as one process does.

Each run starts new processes, which load transformers and peft: far over 30 s, so all of it is slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.slow


def run(ranks: int, dtype: str, out: Path, start: Path | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the worker measured, and its checkpoint."""
    worker = Path(__file__).with_name("fsdp_worker.py")
    command = [sys.executable, str(worker), str(ranks), dtype, str(out), *([] if start is None else [str(start)])]
    subprocess.run(
        command, check=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    )
    return torch.load(out, weights_only=True), torch.load(f"{out}.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    folder = tmp_path_factory.mktemp("fsdp")
    return {ranks: (folder / f"{ranks}.pt", *run(ranks, "float32", folder / f"{ranks}.pt")) for ranks in (1, 2)}


def compare(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert one["state_dict"].keys() == two["state_dict"].keys()
    for name, value in one["state_dict"].items():
        assert type(two["state_dict"][name]) is torch.Tensor
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-3, atol=1e-6)


def test_two_shards_train_as_one_process(runs: dict[int, Any]) -> None:
    (_, measured_one, one), (_, measured_two, two) = runs[1], runs[2]
    compare(one, two)
    assert measured_two["metrics"] == pytest.approx(measured_one["metrics"], abs=1e-4)
    assert measured_two["local"] * 2 == measured_two["sharded"] > 0


def test_a_sharded_checkpoint_holds_adapters_and_projector_alone(runs: dict[int, Any]) -> None:
    keys = runs[2][2]["state_dict"]
    assert all("lora_" in key or "multi_modal_projector" in key for key in keys)
    assert runs[2][2]["frozen_digests"] == runs[1][2]["frozen_digests"]


def test_a_sharded_run_resumes_as_one_process_does(runs: dict[int, Any], tmp_path: Path) -> None:
    one, two = (run(ranks, "float32", tmp_path / f"{ranks}.pt", Path(f"{runs[ranks][0]}.ckpt"))[1] for ranks in (1, 2))
    assert one["global_step"] == two["global_step"] == 6
    compare(one, two)


def test_a_narrow_base_with_float32_adapters_is_sharded(tmp_path: Path) -> None:
    checkpoint = run(2, "bfloat16", tmp_path / "bf16.pt")[1]
    assert {tensor.dtype for tensor in checkpoint["state_dict"].values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in checkpoint["state_dict"].values())
