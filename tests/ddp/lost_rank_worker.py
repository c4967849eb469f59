"""Two Gloo processes, one of which is killed; the other prints what a user is told. See test_lost_rank.py.

Usage: lost_rank_worker.py FILE
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cvqa_models.messages import is_told, sentence


def main(meeting: str) -> None:
    rank = 0 if os.fork() else 1
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    dist.all_reduce(torch.ones(1))
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        for _ in range(100):
            dist.all_reduce(torch.ones(1))
    except RuntimeError as error:
        print(is_told(error), sentence(error), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
