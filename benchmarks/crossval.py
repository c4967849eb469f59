"""Seconds of the whole 6-fold, 8-seed cross-validation of one configuration, inner selection included. To reach: 180 s.

    python benchmarks/crossval.py [VARIANT]

A random table of CVQAD's size: 1,022 videos in 57 groups, 28 columns. VARIANT is a JSON object of values by their
command-line names, such as '{"model.hidden": 32}'; the default is the heaviest objective of
docs/studies/human-scores.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from train_head import SIZES

from cvqa_models.commands.crossval import crossval
from cvqa_models.inference.extract import extract_table

ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path) -> Path:
    """Write the table, its features and a configuration like that of CVQAD's table; return the latter."""
    rng = np.random.default_rng(0)
    group = [f"g{number}" for number, size in enumerate(SIZES) for _ in range(size)]
    values = rng.normal(size=(len(group), 28))
    table = pd.DataFrame(values, columns=[f"m{column}" for column in range(28)])
    table.insert(0, "video_id", [f"v{row}" for row in range(len(group))])
    table.to_csv(folder / "metrics.csv", index=False)
    mos = values[:, :5].mean(1) + 0.2 * rng.normal(size=len(group))
    labels = {"video_id": table["video_id"], "group": group, "reference": group, "mos": mos}
    pd.DataFrame(labels).to_csv(folder / "manifest.csv", index=False)
    extract_table(folder / "metrics.csv", ["m*"], folder / "store")
    config = yaml.safe_load((ROOT / "configs/experiment/cvqad_table_nr.yaml").read_text())
    table_branch = config["model"]["init_args"]["branches"]["table"]["init_args"]
    table_branch.update(path=str(folder / "metrics.csv"), columns=["m*"])
    manifest = {"path": str(folder / "manifest.csv")}
    config["data"] = {
        "source": {"class_path": "cvqa_models.data.manifest.Manifest", "init_args": manifest},
        "store": str(folder / "store"),
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = make(folder)
        (folder / "variants.yaml").write_text(f"variant: {sys.argv[1] if len(sys.argv) > 1 else '{}'}\n")
        started = time.perf_counter(), time.process_time()
        crossval(config=[config], variants=folder / "variants.yaml")
        print(
            f"{time.perf_counter() - started[0]:.0f} s ({time.process_time() - started[1]:.0f} s of processor time) on "
            f"{torch.get_num_threads()} threads; to reach: 180 s"
        )


if __name__ == "__main__":
    main()
