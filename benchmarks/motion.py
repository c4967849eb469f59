"""TVQA's motion features without SlowFast's slow pathway, on one CPU thread: what is saved, and the same bits.

    python benchmarks/motion.py

A chunk of 32 frames of 360p of noise, random weights by a fixed seed: median CPU seconds of three passes. The whole
network is the authors' way; the slow pathway's answer is thrown away there.
"""

from __future__ import annotations

import statistics
from time import process_time

import torch
from torch import Tensor

from cvqa_models.nn.slowfast import SlowFastNet

REPEATS = 3


def timed(network: SlowFastNet, frames: Tensor) -> tuple[float, Tensor]:
    """Return the median CPU seconds of a pass, and the fast pathway's maps."""
    seconds = []
    for _ in range(REPEATS):
        start = process_time()
        maps = network(frames)[-1]
        seconds.append(process_time() - start)
    return statistics.median(seconds), maps


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    whole, fast = SlowFastNet("both").eval(), SlowFastNet("fast").eval()
    fast.load_state_dict({key: whole.state_dict()[key] for key in fast.state_dict()})
    frames = torch.randn(1, 3, 32, 360, 640)
    with torch.inference_mode():
        slow_seconds, expected = timed(whole, frames)
        fast_seconds, found = timed(fast, frames)
    print(
        f"whole network {slow_seconds:.2f} CPU s, fast pathway alone {fast_seconds:.2f} "
        f"({slow_seconds / fast_seconds:.2f} x); maps equal to the bit: {torch.equal(expected, found)}"
    )


if __name__ == "__main__":
    main()
