"""Choose and fit MMF's bag of support vector regressors, with scikit-learn and Optuna."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cvqa_models.data.datamodule import GroupDataModule
from cvqa_models.data.dataset import load_batch, plan_reading
from cvqa_models.messages import follow
from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import METRICS, SMALLEST_GROUP, Thresholds, evaluate
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Criterion, VideoRecord


@dataclass(frozen=True)
class Measured:
    """N labelled videos.

    Attributes:
        measures: Shape (N, D).
        mos: Subjective scores, shape (N,).
        group: Comparison group of each.
        reference: Source of each.
    """

    measures: Floats
    mos: Floats
    group: Sequence[str]
    reference: Sequence[str]

    def select(self, rows: Any) -> Measured:
        """Return the videos at `rows`."""
        names = [[column[row] for row in rows] for column in (self.group, self.reference)]
        return Measured(self.measures[rows], self.mos[rows], *names)


def regressor(settings: dict[str, float], seed: int) -> Any:
    """Return the unfitted pipeline: StandardScaler, then a BaggingRegressor of SVRs with the radial kernel.

    Args:
        settings: C, gamma, epsilon of the SVRs; n_estimators, max_samples, max_features of the bag.
        seed: Seed of the bag's draws.
    """
    from sklearn.ensemble import BaggingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    machine = SVR(**{name: settings[name] for name in ("C", "gamma", "epsilon")})
    bag = {name: settings[name] for name in ("n_estimators", "max_samples", "max_features")}
    return make_pipeline(StandardScaler(), BaggingRegressor(machine, random_state=seed, **bag))


def tune(
    videos: Measured, *, criterion: Criterion = "result", trials: int = 60, folds: int = 3, seed: int = 0
) -> dict[str, float]:
    """Return the settings of the best of `trials` draws of Optuna's TPE.

    Each draw is judged by its predictions on inner folds, which never share a reference. The space of settings is that
    of our study, because MMF's report does not give one.

    Args:
        videos: What to fit.
        criterion: `result`, the official evaluation of groups, or `mse`, the report's squared error, which ignores
            groups and so chooses bags that rank worse.
        trials: Number of draws.
        folds: Number of inner folds.
        seed: Seed of the draws and the bags.

    Raises:
        ValueError: If there are fewer references than folds, or no group that can be ranked.
    """
    import optuna
    from sklearn.model_selection import GroupKFold, cross_val_predict

    references = len(set(videos.reference))
    if references < folds:
        raise ValueError(f"There are {references} references for {folds} inner folds; use fewer `folds` or more data.")
    judge = Judge(criterion, videos)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in follow(range(trials), "tuning"):
        trial = study.ask()
        bag = regressor(_draw(trial), seed)
        splits = GroupKFold(folds)
        predicted = cross_val_predict(bag, videos.measures, videos.mos, groups=videos.reference, cv=splits)
        study.tell(trial, judge(predicted))
    return dict(study.best_params)


def importance(fitted: Any, videos: Measured, *, criterion: Criterion = "result", seed: int = 0) -> list[float]:
    """Return for each measure how much worse the criterion gets when its values are shuffled over the videos.

    Each value is the mean of 10 shuffles: a fall of the Result, or a rise of the squared error.
    """
    from sklearn.inspection import permutation_importance

    judge = Judge(criterion, videos)

    def score(bag: Any, measures: Floats, mos: Floats) -> float:
        return judge(bag.predict(measures))

    found = permutation_importance(fitted, videos.measures, videos.mos, scoring=score, n_repeats=10, random_state=seed)
    values: list[float] = found.importances_mean.tolist()
    return values


class Judge:
    """Scores predictions of some videos, larger is better.

    Args:
        criterion: `result` or `mse`.
        videos: The videos. If no group has the organisers' smallest number of videos, the size of the largest group is
            used in its place.

    Raises:
        ValueError: If the criterion is `result` and no group has 3 videos.
    """

    def __init__(self, criterion: Criterion, videos: Measured) -> None:
        self.criterion = criterion
        self.videos = videos
        largest = max(Counter(videos.group).values())
        if criterion == "result" and largest < SMALLEST_GROUP:
            raise ValueError(
                f"The largest group has {largest} videos, which ranks nothing; correct the groups or use `mse`."
            )
        usual = Thresholds()
        least = {name: max(SMALLEST_GROUP, min(getattr(usual, name), largest)) for name in METRICS}
        self.thresholds = Thresholds(**least)

    def __call__(self, predicted: Floats) -> float:
        """Return the official Result, or the negative mean squared error."""
        if self.criterion == "mse":
            return -float(np.mean((predicted - self.videos.mos) ** 2))
        return evaluate(self.videos.group, self.videos.mos, predicted, thresholds=self.thresholds).result


def _draw(trial: Any) -> dict[str, float]:
    return {
        "C": trial.suggest_float("C", 0.05, 50, log=True),
        "gamma": trial.suggest_float("gamma", 1e-3, 0.5, log=True),
        "epsilon": trial.suggest_float("epsilon", 0.01, 0.5, log=True),
        "n_estimators": trial.suggest_int("n_estimators", 5, 15),
        "max_samples": trial.suggest_float("max_samples", 0.3, 1),
        "max_features": trial.suggest_float("max_features", 0.4, 1),
    }


def measured(model: QualityModule, data: GroupDataModule, records: Sequence[VideoRecord]) -> Measured:
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
