"""Seconds that each tiny system takes to fit on the mini data set, through `train.py`'s own path. To reach: 20 s each.

    python benchmarks/tiny_fits.py [SYSTEM ...]    all of `configs/tiny` that learn, or those named

Needs the data of `cvqa build mini --root data/mini`. Epochs are those of each file; nothing is cached, and reading the
videos counts, as do the start of the trainer, validation and checkpoints. Starting Python and importing torch do not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from cvqa_models.cli import run_cli

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "mini"
NOT_BY_GRADIENTS = {"metric", "mmf", "ms_ssim"}


def fit(system: str, run: str) -> float:
    """Return the seconds of one fit."""
    files = (f"tiny/{system}.yaml", "data/mini.yaml", "trainer/cpu.yaml")
    source = {"labels": DATA / "Subjective_scores.csv", "videos": DATA / "videos", "references": DATA / "references"}
    started = time.perf_counter()
    run_cli(
        [
            "fit",
            *(f"--config={ROOT / 'configs' / name}" for name in files),
            *(f"--data.source.init_args.{name}={path}" for name, path in source.items()),
            "--data.store=null",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            f"--run={run}",
        ]
    )
    return time.perf_counter() - started


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"'{DATA}' is missing; make it with `cvqa build mini --root data/mini`.")
    learning = sorted({path.stem for path in (ROOT / "configs" / "tiny").glob("*.yaml")} - NOT_BY_GRADIENTS)
    print(f"to reach: 20 s each; {torch.get_num_threads()} threads")
    for system in sys.argv[1:] or learning:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{system}: {fit(system, f'{folder}/run'):.1f} s", flush=True)


if __name__ == "__main__":
    main()
