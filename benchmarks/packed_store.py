"""Training on cached features of many videos, packed and in a file each: seconds to the first step, memory, an epoch.

    python benchmarks/packed_store.py FOLDER [VIDEOS] [--single]

Makes a store of VIDEOS videos (39,000) with the widths of the flagship's branches in FOLDER, 182 kB a video, packed or,
with `--single`, a file per video and branch; then fits the flagship's head for an epoch, in a process of its own. A
second run finds the store there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml

WIDTHS = {"motion": 2304, "technical": 1024, "semantic": 768, "compression": 1600}
CLIPS = 8
ROOT = Path(__file__).resolve().parents[1]


def write_store(folder: Path, videos: int, single: bool) -> None:
    """Write features, labels and the configuration."""
    from cvqa_models.branches.table import Table
    from cvqa_models.data.feature_store import FeatureStore
    from cvqa_models.data.packed import FOLDER, Row, write_shard

    store, names = folder / "store", [f"v{number:06d}" for number in range(videos)]
    branches = {}
    for name, width in WIDTHS.items():
        table = folder / f"{name}.csv"
        columns = [f"c{number}" for number in range(width)]
        table.write_text("\n".join([",".join(["video_id", *columns]), ",".join(["v", *["0"] * width])]) + "\n")
        branches[name] = {
            "class_path": "cvqa_models.branches.table.Table",
            "init_args": {"path": str(table), "columns": ["c*"]},
        }
        key = Table(str(table), columns=["c*"]).demand.cache_key
        assert key is not None
        generator = torch.Generator().manual_seed(width)
        if (store / key).exists():
            continue
        per_shard = (1 << 28) // (4 * CLIPS * width)
        for number, start in enumerate(range(0, videos, per_shard)):
            own = names[start : start + per_shard]
            tokens = torch.randn(len(own), CLIPS, width, generator=generator)
            if single:
                for one, values in zip(own, tokens, strict=True):
                    FeatureStore(store, "").write(key, one, values, {})
            else:
                rows = [Row({"video_id": one}, values, 0) for one, values in zip(own, tokens, strict=True)]
                write_shard(store / key / FOLDER / f"{number:05d}.safetensors", rows)
    lines = [f"{name},s{row // 8},all,{row % 97}" for row, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["video_id,reference,group,mos", *lines]) + "\n")
    model = {
        "class_path": "cvqa_models.models.multibranch.MultiBranch",
        "init_args": {"branches": branches, "hidden": 128, "dropout": 0.2, "pooling": "mean_std"},
    }
    source = {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": {"path": str(folder / "labels.csv")}}
    data = {"source": source, "split": {"val": 0.1}, "store": str(store)}
    trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    content = {"model": model, "data": data, "trainer": {**trainer, "num_sanity_val_steps": 0}}
    (folder / "fit.yaml").write_text(yaml.safe_dump(content))


def megabytes() -> float:
    """Return the most memory that this process has held; what getrusage says counts the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def fit(folder: Path) -> None:
    """Fit for an epoch, and say when the first step was done."""
    from cvqa_models.branches import table  # noqa: F401
    from cvqa_models.data import datamodule, manifest  # noqa: F401
    from cvqa_models.models import multibranch  # noqa: F401
    from cvqa_models.training.cli import train
    from cvqa_models.training.module import QualityModule

    real, first = QualityModule.training_step, []

    def step(self: QualityModule, *args: object) -> object:
        found = real(self, *args)  # type: ignore[arg-type]
        if not first:
            first.append((time.perf_counter(), time.process_time(), megabytes()))
        return found

    QualityModule.training_step = step  # type: ignore[method-assign, assignment]
    base, wall, start = megabytes(), time.perf_counter(), time.process_time()
    train("cvqa", ["fit", "--config", str(folder / "fit.yaml"), "--run", str(folder / f"run-{time.time_ns()}")])
    at, processor, held = first[0]
    print(
        f"first step after {at - wall:.1f} s ({processor - start:.1f} CPU s), {held - base:.0f} MB beyond the modules; "
        f"an epoch with its validation {time.perf_counter() - at:.0f} s ({time.process_time() - processor:.0f} CPU s), "
        f"{megabytes() - base:.0f} MB at most"
    )


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if not words:
        sys.exit("Give a folder for the store: python benchmarks/packed_store.py FOLDER [VIDEOS] [--single]")
    folder, videos = Path(words[0]), int(words[1]) if len(words) > 1 else 39_000
    if "--fit" in sys.argv:
        fit(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_store(folder, videos, "--single" in sys.argv)
    size = sum(path.stat().st_size for path in (folder / "store").rglob("*.safetensors"))
    print(f"{videos} videos, {size / 1e9:.1f} GB, {'a file each' if '--single' in sys.argv else 'packed'}", flush=True)
    subprocess.run([sys.executable, __file__, str(folder), "--fit"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
