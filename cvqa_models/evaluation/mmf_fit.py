"""Choose and fit MMF's bag of regressors, and measure how important each measure is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cvqa_models.extras import check_installed
from cvqa_models.files import write_bytes
from cvqa_models.models.mmf import Mmf
from cvqa_models.training.checkpoint import to_bytes
from cvqa_models.training.configured import Configured
from cvqa_models.training.mmf_tuning import Judge, importance, measured, regressor, tune
from cvqa_models.types import Criterion


@dataclass(frozen=True)
class MmfFit:
    """A fitted MMF.

    Attributes:
        criterion: Criterion by which its settings were chosen.
        settings: The chosen settings of the bag of regressors.
        on: Side of the split on which `result` and `importance` were measured: `val`, or `train` if that is empty.
        result: The official Result on that side.
        importance: Measure -> how much worse the criterion gets when it is shuffled, largest first.
    """

    criterion: Criterion
    settings: dict[str, float]
    on: str
    result: float
    importance: dict[str, float]


def fit_mmf(
    config: Sequence[Path],
    checkpoint: Path,
    *,
    criterion: Criterion = "result",
    trials: int = 60,
    folds: int = 3,
    seed: int = 0,
    trust: Sequence[str] = (),
) -> MmfFit:
    """Fit MMF on the training references and write its checkpoint.

    Args:
        config: Configuration files as for `train.py`; `model` and `data` are used.
        checkpoint: File to write.
        criterion: Criterion by which settings are chosen; see `training.mmf_tuning.tune`.
        trials: Number of settings that Optuna tries.
        folds: Number of inner folds.
        seed: Seed of the draws.
        trust: Your own packages whose classes the configuration may build; their code is run.

    Raises:
        ValueError: If scikit-learn or Optuna is not installed, the system is not Mmf, a label or a measure is missing,
            or there are too few references.
        FileNotFoundError: If a file is not there.
    """
    check_installed("sklearn", "optuna", what="`fit-mmf`")
    configured = Configured(list(config), trusted=trust)
    model, data = configured.build()
    if not isinstance(model, Mmf):
        raise ValueError(f"`fit-mmf` fits the system Mmf, not {type(model).__name__}; use `train.py fit` for that one.")
    records = data.records()
    train = measured(model, data, records["train"])
    held_out = measured(model, data, records["val"]) if records["val"] else train
    settings = tune(train, criterion=criterion, trials=trials, folds=folds, seed=seed)
    fitted = regressor(settings, seed).fit(train.measures, train.mos)
    model.take(fitted)
    write_bytes(checkpoint, to_bytes(model, configured.model_config))
    drops = importance(fitted, held_out, criterion=criterion, seed=seed)
    ranked = sorted(zip(measure_names(model, len(drops)), drops, strict=True), key=lambda item: -item[1])
    result = Judge("result", held_out)(fitted.predict(held_out.measures))
    return MmfFit(criterion, settings, "val" if records["val"] else "train", result, dict(ranked))


def measure_names(model: Mmf, count: int) -> list[str]:
    """Return a name for each measure: PIQ's, a table's columns, or numbers."""
    branch = model.each_branch()["measures"]
    names = getattr(branch, "measures", None) or getattr(branch, "columns", None)
    return [str(name) for name in names] if names else [str(number) for number in range(count)]
