"""Ablations of end-to-end training: variants of a configuration, each trained from several seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvqa_models.data.feature_store import file_name
from cvqa_models.files import sha256, write_json
from cvqa_models.metrics.group_score import METRICS
from cvqa_models.shipped import find_config
from cvqa_models.training.configured import read_variants
from cvqa_models.training.run_folder import training_log

MEASURES = (*METRICS, "result")


@dataclass(frozen=True)
class Sweep:
    """The results of the runs of a sweep.

    Attributes:
        runs: Variant -> seed -> measure -> value on the validation videos, at the epoch with the best `val/result`.
        failures: Folder of each run that failed -> reason.
    """

    runs: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def sweep(
    config: Sequence[str | Path],
    out: str | Path,
    *,
    variants: str | Path | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    trust: Sequence[str] = (),
) -> Sweep:
    """Train each variant from each seed, one run after the other, each in a process and a folder of its own.

    A run is `cvqa fit` with the run folder OUT/VARIANT/seed-SEED. A finished run is not trained again, and a stopped
    run goes on from its last checkpoint. So the same call resumes a sweep, and more seeds or variants extend it. If a
    run fails, the others still run.

    Args:
        config: Configuration files as for `cvqa fit`.
        out: Folder of the sweep.
        variants: YAML file of name -> values by their command-line name, such as `model.hidden: null`; without it, only
            the configuration itself is trained, from each seed.
        seeds: Values of `seed_everything`.
        trust: Your own packages whose classes a checkpoint may build; their code is run.

    Raises:
        ValueError: If `out` holds a sweep with other settings, a seed is given twice, or the variants are malformed.
        FileNotFoundError: If a file is not there.
    """
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ValueError(f"`--seeds` is {list(seeds)}; expected one or more different numbers.")
    files = [find_config(file) for file in config]
    chosen = {Path(files[0]).stem: {}} if variants is None else read_variants(Path(variants))
    _remember(Path(out), files, chosen)
    found = Sweep()
    for name, values in chosen.items():
        for seed in seeds:
            run = Path(out) / file_name(name) / f"seed-{seed}"
            words = [*(f"--config={file}" for file in files), *_options(values), f"--seed_everything={seed}"]
            words += [f"--run={run}", "--ckpt_path=last", *(f"--trust={package}" for package in trust)]
            try:
                found.runs.setdefault(name, {})[seed] = _trained(run, words)
            except ValueError as error:
                found.failures[str(run)] = str(error)
    return found


def _remember(out: Path, files: Sequence[Path], variants: Mapping[str, Any]) -> None:
    """Store the settings of a sweep in OUT/sweep.json, so that a folder never mixes two sweeps."""
    card = out / "sweep.json"
    configs = {str(file): sha256(file) for file in files}
    kept = json.loads(card.read_text(encoding="utf-8")) if card.exists() else {"config": configs, "variants": {}}
    changed = [name for name, values in variants.items() if kept["variants"].get(name, values) != values]
    if list(kept["config"].values()) != list(configs.values()):
        changed.append("the configuration")
    if changed:
        raise ValueError(
            f"'{out}' holds a sweep with other settings of {', '.join(map(repr, changed))}; choose another `--out`."
        )
    write_json(card, {"config": configs, "variants": {**kept["variants"], **variants}})


def _trained(run: Path, words: list[str]) -> dict[str, float]:
    """Return the measures of a run; train it first unless it has finished.

    Raises:
        ValueError: If training fails, or no epoch has been validated.
    """
    finished = run / "finished.json"
    if not finished.exists():
        code = _fit(words)
        if code:
            raise ValueError(f"`cvqa fit` ended with exit code {code}; what it said stands above.")
        log = training_log(run)
        validated = [] if log is None or "val/result" not in log else log.dropna(subset="val/result").to_dict("records")
        if not validated:
            raise ValueError("no epoch was validated; look at `trainer.max_epochs` and `trainer.limit_val_batches`.")
        best = max(validated, key=lambda epoch: epoch["val/result"])
        write_json(finished, {name: float(best[f"val/{name}"]) for name in MEASURES})
    measures: dict[str, float] = json.loads(finished.read_text(encoding="utf-8"))
    return measures


def _fit(words: list[str]) -> int:
    """Run `cvqa fit` and return its exit code; what it prints goes to stderr."""
    return subprocess.run([sys.executable, "-m", "cvqa_models", "fit", *words], stdout=2, check=False).returncode


def _options(values: Mapping[str, Any]) -> list[str]:
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
