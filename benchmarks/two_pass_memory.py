"""Peak memory of a training step on groups of several sizes, in one pass and in two, and how the gradients differ.

python benchmarks/two_pass_memory.py
"""

from __future__ import annotations

import multiprocessing
import resource

import torch

from cvqa_models.branches.compression_level import CompressionLevel
from cvqa_models.losses.grouped import GroupLoss
from cvqa_models.models.multibranch import MultiBranch
from cvqa_models.training.module import Recipe
from cvqa_models.types import Batch
from cvqa_models.video.frame_rules import UniformClips
from cvqa_models.video.patches import NativePatches
from cvqa_models.video.view import View

SIZES = (18, 36)
VIDEOS_PER_PASS = 2


def gradient(videos: int, videos_per_pass: int | None) -> tuple[torch.Tensor, float]:
    """Return the gradient of one group's loss, and what the step added to this process's peak memory, in MB."""
    torch.manual_seed(0)
    branch = CompressionLevel(width=32, view=View(UniformClips(2, 2), NativePatches((2, 3), 112)))
    model = MultiBranch({"damage": branch}, GroupLoss(), recipe=Recipe(videos_per_pass=videos_per_pass), dropout=0.0)
    view = torch.randint(0, 256, (videos, 2, 3, 2, 224, 336), dtype=torch.uint8)
    batch = Batch(
        video_id=[str(number) for number in range(videos)],
        group_name=["g"] * videos,
        group=torch.zeros(videos, dtype=torch.int64),
        mos=torch.randn(videos),
        weight=torch.ones(videos),
        views={branch.view.key: view},
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total, count = model.training_loss(model._features_for_training(batch), batch)
    (total / count).backward()
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), added


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    for videos in SIZES:
        found = []
        for videos_per_pass in (None, VIDEOS_PER_PASS):
            with spawn.Pool(1) as pool:
                found.append(pool.apply(gradient, (videos, videos_per_pass)))
        (whole, one), (parts, two) = found
        difference = float((whole - parts).norm() / whole.norm())
        print(
            f"group of {videos}: one pass {one:.0f} MB, {VIDEOS_PER_PASS} videos a pass {two:.0f} MB, "
            f"{one / two:.1f} times less; gradients differ by {difference:.1e} of their norm; to reach: 1e-5"
        )


if __name__ == "__main__":
    main()
