"""A rank that is killed ends the others in one sentence, and none waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from cvqa_models.messages import is_told, sentence

ROOT = Path(__file__).resolve().parents[2]
STARTER = """
import os, subprocess, sys, time
from cvqa_models.ending import leave_with_starter
leave_with_starter("train.py")
rank = {**os.environ, "LOCAL_RANK": "1"}
watch = "from cvqa_models.ending import leave_with_starter; leave_with_starter('train.py')"
subprocess.Popen([sys.executable, "-c", watch + "; import time; print(1, flush=True); time.sleep(600)"], env=rank)
time.sleep(600)
"""


def test_a_rank_whose_peer_is_killed_says_so(tmp_path: Path) -> None:
    worker = Path(__file__).with_name("lost_rank_worker.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(worker), str(tmp_path / "meeting")],
        check=True,
        timeout=300,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("True another process of this run ended or hung;"), done.stderr


def test_the_errors_of_other_backends_are_known_by_their_class() -> None:
    import torch.distributed

    error = torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp, remote process exited")
    assert is_told(error)
    assert "from its last checkpoint" in sentence(error)
    assert not is_told(RuntimeError("a fault of ours"))


def test_a_rank_ends_when_the_process_that_started_it_is_killed() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "CVQA_STARTER")}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    assert starter.stderr is not None
    assert starter.stdout.readline() == "1\n", "the rank watches"
    starter.send_signal(signal.SIGKILL)
    # Both pipes close when the rank ends, and not before.
    assert starter.stdout.read() == ""
    assert starter.stderr.read() == (
        "train.py: the process that started this rank is gone; start the run again from its last checkpoint.\n"
    )
    starter.wait()
