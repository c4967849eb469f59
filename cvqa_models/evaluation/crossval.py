"""Cross-validate configurations: models that never saw its content score every video; then compare in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from cvqa_models.data.dataset import load_batch, plan_reading
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.data.labels import LabelTable
from cvqa_models.data.splits import divide
from cvqa_models.evaluation.evaluate import Evaluation, evaluate_rows
from cvqa_models.evaluation.score_table import ScoreRows
from cvqa_models.metrics.correlation import Floats
from cvqa_models.metrics.group_score import Thresholds
from cvqa_models.training.configured import Configured, read_variants
from cvqa_models.training.crossval import FitSettings, Outcome, cross_validate
from cvqa_models.training.module import QualityModule
from cvqa_models.types import Baselines, Batch, VideoRecord
from cvqa_models.video.reader import ReadOptions

TOGETHER = "mean of all"
Rivals = Callable[[Sequence[VideoRecord], FeatureStore | None, ReadOptions], Baselines]


@dataclass(frozen=True)
class CrossValidation:
    """The result of a cross-validation.

    Attributes:
        outcomes: Scores and choices of each configuration, by name.
        evaluation: Signed evaluation of each configuration's average over seeds, of all together and of the rivals.
        records: The videos, N in all.
        scores: Out-of-fold scores of each configuration, and of all together, averaged over seeds, shape (N,).
        missing: One sentence for each missing rival: why.
    """

    outcomes: dict[str, Outcome]
    evaluation: Evaluation
    records: list[VideoRecord]
    scores: dict[str, Floats] = field(repr=False)
    missing: list[str] = field(default_factory=list)


def crossval(
    config: str | Path | Sequence[str | Path],
    *,
    data: str | Path | None = None,
    variants: str | Path | None = None,
    folds: int = 6,
    seeds: int = 8,
    steps: int = 160,
    every: int = 4,
    decays: Sequence[float] = (0.1, 1.5, 5.0),
    thresholds: Thresholds = Thresholds(),  # noqa: B008 - frozen
    bootstrap: int = 2000,
    rivals: Rivals | None = None,
    trust: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> CrossValidation:
    """Return scores of every video by models that never saw its source, and their evaluation.

    In each fold, the weight decay and the number of steps are chosen by an inner cross-validation over the other folds,
    by the signed group result. Then one model per seed is trained on these folds, and scores the videos that were left
    out. The scores of the seeds are averaged. Models are trained on cached features; see `extract`.

    Args:
        config: Configurations with `model` and `data`; all are evaluated, and compared with the first.
        data: Configuration of the data, if those of the models have none.
        variants: YAML file of name -> values by their command-line name, such as `model.hidden: null`. Each variant is
            applied to the first configuration; that configuration itself is then not evaluated.
        folds: Number of folds; `data.split.seed` decides which references are in which fold.
        seeds: Number of models per fold.
        steps: Largest number of training steps; each step sees all training videos.
        every: The number of steps is chosen among multiples of this.
        decays: Weight decays to choose from.
        thresholds: Fewest videos that a group needs to count.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        rivals: Function that returns scores without training, for comparison. It is called before training, because
            decoding may take longer, and if it is stopped then, no result is lost.
        trust: Your own packages whose classes the configurations may build; their code is run.
        progress: Called with the name of a configuration, the number of its fits that are done, and the number of all.

    Raises:
        ValueError: If an argument is out of range, a configuration is not valid, features are missing, or nothing can
            be chosen or evaluated.
        FileNotFoundError: If a file is not there.
    """
    _check(folds, seeds, steps, every, decays)
    settings = FitSettings(decays, steps, every, thresholds)
    files = [config] if isinstance(config, str | Path) else config
    configured = _configured([Path(file) for file in files], data, variants, trust)
    outcomes: dict[str, Outcome] = {}
    first = next(iter(configured))
    loaded = _load(first, configured[first], folds)
    records = loaded.records
    others = Baselines() if rivals is None else rivals(records, loaded.store, loaded.options)
    for name, one in configured.items():
        own = loaded if name == first else _load(name, one, folds)
        if [(r.video_id, r.group, r.mos) for r in own.records] != [(r.video_id, r.group, r.mos) for r in records]:
            raise ValueError(f"'{name}' lists other videos than the first configuration; compare on the same data.")
        models = [one.build(seed)[0] for seed in range(seeds)]
        outcomes[name] = cross_validate(models, own.batch, own.fold, settings, partial(progress, name))
    scores = {name: outcome.scores.mean(1) for name, outcome in outcomes.items()}
    if len(scores) > 1:
        scores[TOGETHER] = np.mean(list(scores.values()), axis=0)
    columns = {**scores, **others.scores}
    rows = ScoreRows(LabelTable.of(records), list(columns), np.column_stack(list(columns.values())))
    evaluation = evaluate_rows(rows, settings.thresholds, bootstrap=bootstrap)
    return CrossValidation(outcomes, evaluation, records, scores, others.missing)


def _configured(
    files: list[Path], data: str | Path | None, variants: str | Path | None, trusted: Sequence[str]
) -> dict[str, Configured]:
    """Return name -> parsed configuration; names are the stems of files, or those of the variants of the first file."""
    overlay = [Path(data)] if data is not None else []
    if variants is None:
        stem, count = Counter(path.stem for path in files).most_common(1)[0]
        if count > 1:
            raise ValueError(f"{count} `--config` files are called '{stem}'; results go by that name, so rename them.")
        return {path.stem: Configured([path, *overlay], trusted=trusted) for path in files}
    changes = read_variants(Path(variants))
    return {name: Configured([files[0], *overlay], values, trusted=trusted) for name, values in changes.items()}


@dataclass(frozen=True)
class _Loaded:
    """The videos of a configuration, the fold of each, all of them as one batch of cached features, and their store."""

    records: list[VideoRecord]
    fold: np.ndarray
    batch: Batch
    store: FeatureStore | None
    options: ReadOptions


def _load(name: str, configured: Configured, folds: int) -> _Loaded:
    model, data = configured.build()
    records = [replace(record, split="") for record in data.source.records()]
    unlabelled = sum(np.isnan(record.mos) for record in records)
    if unlabelled:
        raise ValueError(f"`mos` is missing for {unlabelled} of {len(records)} videos; cross-validation needs all.")
    reading = plan_reading(records, model.demands, data.store)
    lacking = [branch for branch in model.demands if branch not in reading.cached]
    if lacking:
        raise ValueError(f"'{name}': {_why_not_cached(lacking[0], model, configured, records, data.store)}")
    fold = np.zeros(len(records), dtype=np.int64)
    for number in range(folds):
        split = replace(data.split, folds=folds, fold=number, val=0.0)
        left_out = {record.reference for record in divide(records, split)["test"]}
        fold[[record.reference in left_out for record in records]] = number
    batch = load_batch(records, model.demands, data.store, data.options)
    return _Loaded(records, fold, batch, data.store, data.options)


def _why_not_cached(
    name: str, model: QualityModule, configured: Configured, records: list[VideoRecord], store: FeatureStore | None
) -> str:
    """Return why the features of a branch are not in the store, and what to do."""
    branch, key = model.each_branch()[name], model.demands[name].cache_key
    rule = "cross-validation trains heads on cached features"
    if not branch.frozen:
        return (
            f"branch `{name}` is trained (`frozen: false`), so that its features change with every step, but {rule}; "
            "set `frozen: true` on it, or train one fold at a time with `train.py fit --data.split.folds`."
        )
    if key is None:
        return (
            f"branch `{name}` sees a view that is drawn anew each time, so that its features cannot be cached, but "
            f"{rule}; give it a view that is not random."
        )
    # Weights without a file are drawn when the branch is built: another seed gives another network, and so another key.
    other = configured.build(configured.seed + 1)[0].demands[name].cache_key
    if configured.build(configured.seed)[0].demands[name].cache_key != other:
        return (
            f"branch `{name}` has no weights from a file and is drawn anew for every seed, so that no features of it "
            f"can be cached, but {rule}; give it `weights`, or leave it out with `model.drop`."
        )
    missing = [] if store is None else [r.video_id for r in records if not store.has(key, r.video_id)]
    count = f" ({len(missing)} of {len(records)} videos, first: {missing[0]!r})" if missing else ""
    return (
        f"the store lacks features of branch `{name}`{count}; run `cvqa extract` for this configuration first: {rule}."
    )


def _check(folds: int, seeds: int, steps: int, every: int, decays: Sequence[float]) -> None:
    if folds < 3:
        raise ValueError(f"`--folds` is {folds}; expected at least 3: one to test, one to choose on, one to train on.")
    if seeds < 1:
        raise ValueError(f"`--seeds` is {seeds}; expected at least 1.")
    if not 1 <= every <= steps:
        raise ValueError(f"`--every` is {every} and `--steps` is {steps}; expected a stride from 1 to the steps.")
    if not decays or min(decays) < 0:
        raise ValueError(f"`--decays` is {list(decays)}; expected one or more numbers, none negative.")
