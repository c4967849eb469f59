"""`cvqa fit-mmf`: choose and fit MMF's bag of regressors on cached measures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvqa_models.files import write_bytes, write_json
from cvqa_models.messages import console, printable, say
from cvqa_models.shipped import find_config
from cvqa_models.types import Criterion

if TYPE_CHECKING:
    from cvqa_models.evaluation.mmf_fit import MmfFit


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
    """Fit MMF on the training references: Optuna chooses its settings on inner folds, which never share a reference.

    Writes RUN/checkpoints/last.ckpt, which `train.py predict` and `cvqa score` take like any other checkpoint, and the
    importance of each measure as RUN/importance.png. Run `cvqa extract` with the same files first.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        run: Folder of this run.
        criterion: Criterion of Optuna: `result`, the official group evaluation, or `mse`, the squared error as in MMF's
            report, which gives clearly worse ranks on CVQAD.
        trials: Number of settings that Optuna tries.
        folds: Number of inner folds.
        seed: Seed of the draws.
        json: Also write the chosen settings and the importances to this file.
        trust: Your own packages whose classes the configuration may build; their code is run.

    Returns:
        What `json` holds.

    Examples:
        cvqa fit-mmf --config mmf mine.yaml --run runs/mmf
    """
    files = [find_config(file) for file in config]
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.evaluation import mmf_fit as library
    from cvqa_models.report.plots import bars, png

    checkpoint = run / "checkpoints" / "last.ckpt"
    fitted = library.fit_mmf(
        files, checkpoint, criterion=criterion, trials=trials, folds=folds, seed=seed, trust=trust or []
    )
    write_bytes(run / "importance.png", png(bars(fitted.importance, _meaning(criterion))))
    found = asdict(fitted)
    if json is not None:
        write_json(json, found)
    _show(fitted, checkpoint)
    return found


def _meaning(criterion: Criterion) -> str:
    return "loss of Result when shuffled" if criterion == "result" else "rise of the squared error when shuffled"


def _show(fitted: MmfFit, checkpoint: Path) -> None:
    from rich.table import Table

    table = Table("measure", _meaning(fitted.criterion), title=f"importance on the {fitted.on} videos")
    for name, value in fitted.importance.items():
        table.add_row(printable(name), f"{value:+.4f}")
    console().print(table)
    settings = ", ".join(f"{name} {value:.4g}" for name, value in fitted.settings.items())
    say(f"chosen by {fitted.criterion}: {settings}")
    say(f"Result on the {fitted.on} videos: {fitted.result:.4f}")
    say(str(checkpoint))
