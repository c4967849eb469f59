"""Four systems score one video: from one decode, and what their networks and a decode cost alone.

    python benchmarks/several_systems.py film.mp4

CPU seconds of one thread, the median of three runs. Systems are those of `configs/tiny`, with untrained weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from one_decode import seconds

from cvqa_models.inference.opened import opened
from cvqa_models.inference.scorer import Scorer, score_together
from cvqa_models.shipped import CONFIGS
from cvqa_models.training.configured import Configured
from cvqa_models.video.reader import ReadOptions, stacked

SYSTEMS = ("uvq", "fastvqa", "dover", "evqa")


def main() -> None:
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    scorers = {}
    for name in SYSTEMS:
        torch.manual_seed(0)
        model = Configured([CONFIGS / "tiny" / f"{name}.yaml"], with_data=False).build_model()
        scorers[name] = Scorer(model, device="cpu")
    views = list({key: view for scorer in scorers.values() for key, view in scorer.views.items()}.values())
    with opened(path, ReadOptions()) as file:
        seen = stacked(views, file.clips(views))
        decode = seconds(lambda: stacked(views, file.clips(views)))
        networks = {
            name: seconds(lambda scorer=scorer: scorer._predicted(file, {key: seen[key] for key in scorer.views}))
            for name, scorer in scorers.items()
        }
    together = seconds(lambda: score_together(scorers, path))
    apart = seconds(lambda: [scorer(path) for scorer in scorers.values()])
    parts = ", ".join(f"{name} {spent:.2f}" for name, spent in networks.items())
    print(f"networks: {parts}; one decode for all views {decode:.2f}")
    ratio = together / (sum(networks.values()) + decode)
    print(f"together {together:.2f} ({ratio:.2f} of networks and one decode), one after the other {apart:.2f}")


if __name__ == "__main__":
    main()
