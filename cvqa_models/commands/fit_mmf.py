"""`cvqa fit-mmf`: choose and fit MMF's bag of regressors on cached measures."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from cvqa_models.commands.configured import Configured
from cvqa_models.data.atomic import write_bytes, write_text
from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.dataset import load_batch, plan_reading
from cvqa_models.mistakes import printable
from cvqa_models.models.checkpoint import to_bytes
from cvqa_models.models.mmf import Mmf
from cvqa_models.models.mmf_tuning import Criterion, Judge, Measured, importance, regressor, tune
from cvqa_models.report.plots import bars, png
from cvqa_models.terminal import console, say
from cvqa_models.types import VideoRecord


def fit_mmf(
    *,
    config: list[Path],
    run: Path = Path("runs/mmf"),
    criterion: Criterion = "result",
    trials: int = 60,
    folds: int = 3,
    seed: int = 0,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> dict[str, Any]:
    """Fit MMF on the training references: Optuna chooses its settings on inner folds that keep references apart.

    Writes RUN/checkpoints/last.ckpt, which `train.py predict` and `cvqa score` take like any other, and the importance
    of each measure as RUN/importance.png. Run `cvqa extract` with the same files first.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        run: Folder of this run.
        criterion: What Optuna looks at: `result`, the official group evaluation, or `mse`, the squared error of MMF's
            report, which ranks clearly worse on CVQAD.
        trials: Settings that Optuna tries.
        folds: Inner folds.
        seed: Seed of the draws.
        json: Also write what was chosen, and the importances, to this file.
        trust: Your own packages whose classes the configuration may build; their code is run.

    Returns:
        What `json` holds.
    """
    for package in ("sklearn", "optuna"):
        if find_spec(package) is None:
            raise ValueError(f"`fit-mmf` needs the package {package}; `pip install 'cvqa_models[fr]'`.")
    configured = Configured(config, trusted=trust or [])
    model, data = configured.build()
    if not isinstance(model, Mmf):
        raise ValueError(f"`fit-mmf` fits the system Mmf, not {type(model).__name__}; use `train.py fit` for that one.")
    records = data.records()
    train = measured(model, data, records["train"])
    # Without a validation side the importances are those of the training videos.
    held_out = measured(model, data, records["val"]) if records["val"] else train
    settings = tune(train, criterion=criterion, trials=trials, folds=folds, seed=seed)
    fitted = regressor(settings, seed).fit(train.measures, train.mos)
    model.take(fitted)
    drops = importance(fitted, held_out, criterion=criterion, seed=seed)
    names = measure_names(model, len(drops))
    ranked = dict(sorted(zip(names, drops, strict=True), key=lambda item: -item[1]))
    found: dict[str, Any] = {
        "criterion": criterion,
        "settings": settings,
        "on": "val" if records["val"] else "train",
        "result": Judge("result", held_out)(fitted.predict(held_out.measures)),
        "importance": ranked,
    }
    write_bytes(run / "checkpoints" / "last.ckpt", to_bytes(model, configured.model_config))
    write_bytes(run / "importance.png", png(bars(ranked, _meaning(criterion))))
    if json is not None:
        write_text(json, json_format.dumps(found, indent=1) + "\n")
    _show(found, run)
    return found


def measured(model: Mmf, data: GroupDataModule, records: Sequence[VideoRecord]) -> Measured:
    """Return the cached measures of labelled videos, the mean over key frames.

    Raises:
        ValueError: If a label or the measures of a video are missing.
    """
    unlabelled = [record.video_id for record in records if np.isnan(record.mos)]
    if unlabelled:
        raise ValueError(
            f"`mos` is missing for {len(unlabelled)} of {len(records)} videos (first: {unlabelled[0]!r}); fill the "
            "column, or give those rows the split `test`."
        )
    if plan_reading(records, model.demands, data.store).views:
        where = "no `data.store` is given" if data.store is None else f"'{data.store.root}' does not hold all measures"
        raise ValueError(f"{where}; run `cvqa extract` with the same configuration files first.")
    tokens = load_batch(records, model.demands, data.store, data.options).features["measures"]
    return Measured(
        tokens.to(torch.float64).mean(dim=1).numpy(),
        np.array([record.mos for record in records]),
        [record.group for record in records],
        [record.reference for record in records],
    )


def measure_names(model: Mmf, count: int) -> list[str]:
    """Return a name for each measure: PIQ's, a table's columns, or numbers."""
    branch = model.each_branch()["measures"]
    names = getattr(branch, "measures", None) or getattr(branch, "columns", None)
    return [str(name) for name in names] if names else [str(number) for number in range(count)]


def _meaning(criterion: Criterion) -> str:
    return "loss of Result when shuffled" if criterion == "result" else "rise of the squared error when shuffled"


def _show(found: dict[str, Any], run: Path) -> None:
    page = console()
    table = Table("measure", _meaning(found["criterion"]), title=f"importance on the {found['on']} videos")
    for name, value in found["importance"].items():
        table.add_row(printable(name), f"{value:+.4f}")
    page.print(table)
    settings = ", ".join(f"{name} {value:.4g}" for name, value in found["settings"].items())
    say(f"chosen by {found['criterion']}: {settings}")
    say(f"Result on the {found['on']} videos: {found['result']:.4f}")
    say(str(run / "checkpoints" / "last.ckpt"))
