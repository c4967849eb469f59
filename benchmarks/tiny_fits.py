"""Seconds that each tiny system takes to fit on the mini data set, through `train.py`'s own path. To reach: 20 s each.

    python benchmarks/tiny_fits.py [SYSTEM ...]    all of `configs/tiny` that learn, or those named

Needs the data of `cvqa build mini --root data/mini`, 504 videos. What is frozen is extracted once before, as `cvqa
extract` does, and timed apart. Epochs of a fit are those of each file, but for the flagship, whose file is the demo's.
Reading videos for the trained branches counts, as do the start of the trainer, validation and checkpoints. Starting
Python and importing torch do not.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from cvqa_models.inference.extract import extract_features
from cvqa_models.training.cli import run_cli
from cvqa_models.training.configured import Configured

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "mini"
NOT_BY_GRADIENTS = {"metric", "mmf", "ms_ssim"}
FEWER_EPOCHS = {"flagship": 2}  # of 14, so that a table smaller than the demo's is learnt too


def fit(system: str, folder: Path) -> tuple[float, float]:
    """Return the seconds of the extraction and of the fit."""
    files = [ROOT / "configs" / name for name in (f"tiny/{system}.yaml", "data/mini.yaml", "trainer/cpu.yaml")]
    source = {"labels": DATA / "Subjective_scores.csv", "videos": DATA / "videos", "references": DATA / "references"}
    places = {f"data.source.init_args.{name}": str(path) for name, path in source.items()}
    places["data.store"] = str(folder / "features")
    started = time.perf_counter()
    configured = Configured(files, places)
    model, data = configured.build(configured.seed)
    assert data.store is not None
    if any(demand.cache_key for demand in model.demands.values()):
        extract_features(model.each_branch(), data.source.records(), data.store, data.options)
    extracted = time.perf_counter()
    run_cli(
        [
            "fit",
            *(f"--config={file}" for file in files),
            *(f"--{name}={place}" for name, place in places.items()),
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
            f"--run={folder / 'run'}",
            *([f"--trainer.max_epochs={FEWER_EPOCHS[system]}"] if system in FEWER_EPOCHS else []),
        ]
    )
    return extracted - started, time.perf_counter() - extracted


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"'{DATA}' is missing; make it with `cvqa build mini --root data/mini`.")
    learning = sorted({path.stem for path in (ROOT / "configs" / "tiny").glob("*.yaml")} - NOT_BY_GRADIENTS)
    print(f"to reach: 20 s each; {torch.get_num_threads()} threads")
    for system in sys.argv[1:] or learning:
        with tempfile.TemporaryDirectory() as folder:
            extraction, training = fit(system, Path(folder))
            print(f"{system}: {training:.1f} s, after {extraction:.1f} s of extraction", flush=True)


if __name__ == "__main__":
    main()
