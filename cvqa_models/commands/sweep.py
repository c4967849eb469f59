"""`cvqa sweep`: train variants of a configuration, each from several seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cvqa_models.ending import MISTAKE
from cvqa_models.files import check_there, write_json
from cvqa_models.messages import console, printable, say
from cvqa_models.shipped import find_config

if TYPE_CHECKING:
    from cvqa_models.training.sweep import Sweep


def sweep(
    *,
    config: list[Path],
    out: Path,
    variants: Path | None = None,
    seeds: list[int] = [0, 1, 2],  # noqa: B006 - read only
    json: Path | None = None,
    trust: list[str] | None = None,
) -> int:
    """Train variants of a configuration from several seeds, and print mean and deviation of the results of each.

    The values are those on the validation videos at the best epoch. Each run is a `cvqa fit` in OUT/VARIANT/seed-SEED.
    If a sweep was stopped, the same command goes on with it: finished runs are not trained again. More seeds or
    variants extend a sweep. A run that fails is named at the end, and the exit code is 2.

    Args:
        config: Configuration files as for `cvqa fit`.
        out: Folder of the sweep.
        variants: YAML file of name -> values by their command-line name, such as `model.hidden: null` or
            `trainer.max_epochs: 5`. Without it the configuration itself is trained from each seed.
        seeds: Seeds; each variant is trained from each seed.
        json: File for the result: the values of each run, and the failures.
        trust: Your own packages whose classes a checkpoint may build; their code is run.

    Examples:
        cvqa sweep --config flagship mine.yaml --variants variants.yaml --seeds 0 1 2 --out runs/sweep
    """
    files = [find_config(file) for file in config]
    check_there("file of variants", variants)
    from cvqa_models.training.sweep import sweep as library  # torch is slow to import

    found = library(files, out, variants=variants, seeds=seeds, trust=trust or [])
    if json is not None:
        write_json(json, {"runs": found.runs, "failures": found.failures})
    _show(found)
    for run, reason in found.failures.items():
        say(f"failed {run}: {reason}", stderr=True)
    return MISTAKE if found.failures else 0


def _show(found: Sweep) -> None:
    from statistics import mean, stdev

    from rich.table import Column, Table

    from cvqa_models.training.sweep import MEASURES

    names = ("seeds", *(name if name == "result" else name.upper() for name in MEASURES))
    table = Table("variant", *(Column(name, justify="right") for name in names), title="validation, mean and deviation")
    for name, seeds in found.runs.items():
        cells = []
        for measure in MEASURES:
            values = [run[measure] for run in seeds.values()]
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.4f}{spread}" if values else "")
        table.add_row(printable(name), str(len(seeds)), *cells)
    console(width=None if sys.stdout.isatty() else 180).print(table)
