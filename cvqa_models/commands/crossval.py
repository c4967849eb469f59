"""`cvqa crossval`: every video scored by models that never saw its content, for one or several configurations."""

from __future__ import annotations

import json as jsonlib
import sys
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from cvqa_models.commands.baselines import baselines
from cvqa_models.commands.configured import Configured, read_yaml
from cvqa_models.commands.crossval_output import payload_of, show
from cvqa_models.commands.evaluate import evaluate_rows
from cvqa_models.commands.score_rows import ScoreRows
from cvqa_models.data.atomic import write_text
from cvqa_models.data.dataset import load_batch, plan_reading
from cvqa_models.data.feature_store import FeatureStore, file_name
from cvqa_models.data.splits import divide
from cvqa_models.data.submission import write_predictions
from cvqa_models.metrics.group_score import Thresholds
from cvqa_models.mistakes import printable
from cvqa_models.models.crossval import Outcome, Plan, cross_validate
from cvqa_models.models.module import QualityModule
from cvqa_models.types import Batch, Prediction, VideoRecord
from cvqa_models.video.reader import ReadOptions

TOGETHER = "mean of all"


def crossval(
    *,
    config: list[Path],
    data: Path | None = None,
    variants: Path | None = None,
    folds: int = 6,
    seeds: int = 8,
    steps: int = 160,
    every: int = 4,
    decays: list[float] = [0.1, 1.5, 5.0],  # noqa: B006 - read only
    min_srocc: int = 15,
    min_plcc: int = 6,
    min_krocc: int = 6,
    bootstrap: int = 2000,
    out: Path | None = None,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> dict[str, Any]:
    """Cross-validate models on cached features, leaving out whole references, and compare configurations in pairs.

    In each fold, the weight decay and the number of steps are chosen by an inner cross-validation over the other folds,
    on the signed group result; then a model per seed is trained on these folds and scores the videos that were left
    out. The seeds' scores are averaged. All fits advance together, so a fold costs no start of its own.

    Two rows show what no training reaches: the bitrate of the table, and the compression level that ships with the
    project, from the store or, once, from the videos. All values are signed.

    Args:
        config: Configurations with `model` and `data`, each to be evaluated; the first is what others are compared to.
        data: Configuration of the data, if those of the models have none.
        variants: YAML file of name -> values by their command-line name, such as `model.hidden: null`; each is applied
            to the first configuration, in place of the configuration itself.
        folds: Number of folds; `data.split.seed` deals the references out.
        seeds: Number of models per fold.
        steps: Most training steps; each sees all training videos.
        every: Stride in which the number of steps is chosen.
        decays: Weight decays to choose from.
        min_srocc: Fewest videos with which a group counts for SROCC.
        min_plcc: Fewest videos with which a group counts for PLCC.
        min_krocc: Fewest videos with which a group counts for KROCC.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        out: Folder for the averaged out-of-fold scores, one `video_id,score` file per configuration.
        json: Write everything here.
        trust: Your own packages whose classes the configurations may build; their code is run.

    Returns:
        What `json` holds.
    """
    _check(folds, seeds, steps, every, decays)
    plan = Plan(decays, steps, every, Thresholds(min_srocc, min_plcc, min_krocc))
    configured = _configured(config, data, variants, trust or [])
    outcomes: dict[str, Outcome] = {}
    first = next(iter(configured))
    loaded = _load(first, configured[first], folds)
    records = loaded.records
    # Before anything is trained: decoding may take longer, and must cost no result when it is broken off.
    rivals = baselines(records, loaded.store, loaded.options, keep=True)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        for name, one in configured.items():
            own = loaded if name == first else _load(name, one, folds)
            if [(r.video_id, r.group, r.mos) for r in own.records] != [(r.video_id, r.group, r.mos) for r in records]:
                raise ValueError(f"'{name}' lists other videos than the first configuration; compare on the same data.")
            models = [one.build(seed)[0] for seed in range(seeds)]
            tell = partial(_tell, bar, bar.add_task(escape(printable(name))))
            outcomes[name] = cross_validate(models, own.batch, own.fold, plan, tell)
    members = {name: outcome.scores.mean(1) for name, outcome in outcomes.items()}
    if len(members) > 1:
        members[TOGETHER] = np.mean(list(members.values()), axis=0)
    columns = {**members, **rivals.scores}
    rows = ScoreRows(records, list(columns), np.column_stack(list(columns.values())))
    evaluation = evaluate_rows(rows, plan.thresholds, bootstrap=bootstrap)
    payload = payload_of(outcomes, evaluation, rivals.missing)
    if json is not None:
        write_text(json, jsonlib.dumps(payload, indent=1) + "\n")
    if out is not None:
        for name, score in members.items():
            scored = [Prediction(r.video_id, r.group, value) for r, value in zip(records, score.tolist(), strict=True)]
            write_predictions(out / f"{file_name(name)}.csv", scored)
    show(outcomes, evaluation, rivals.missing)
    return payload


def _tell(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _configured(
    files: list[Path], data: Path | None, variants: Path | None, trusted: list[str]
) -> dict[str, Configured]:
    """Return name -> parsed configuration; the files' stems, or the names of the variants of the first file."""
    overlay = [data] if data is not None else []
    if variants is None:
        stem, count = Counter(path.stem for path in files).most_common(1)[0]
        if count > 1:
            raise ValueError(f"{count} `--config` files are called '{stem}'; results go by that name, so rename them.")
        return {path.stem: Configured([path, *overlay], trusted=trusted) for path in files}
    if not variants.is_file():
        raise FileNotFoundError(f"There is no file of variants '{variants}'.")
    content = read_yaml(variants)
    if not content or not isinstance(content, dict) or not all(isinstance(values, dict) for values in content.values()):
        raise ValueError(
            f"'{variants}' holds no mapping of name -> values; expected such as `mlp: {{model.hidden: 32}}`."
        )
    return {str(name): Configured([files[0], *overlay], values, trusted=trusted) for name, values in content.items()}


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
    """Return why the features of a branch are not in the store, and the way out."""
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
    # Weights that come from no file are drawn when the branch is built: another seed, another network, another key.
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


def _check(folds: int, seeds: int, steps: int, every: int, decays: list[float]) -> None:
    if folds < 3:
        raise ValueError(f"`--folds` is {folds}; expected at least 3: one to test, one to choose on, one to train on.")
    if seeds < 1:
        raise ValueError(f"`--seeds` is {seeds}; expected at least 1.")
    if not 1 <= every <= steps:
        raise ValueError(f"`--every` is {every} and `--steps` is {steps}; expected a stride from 1 to the steps.")
    if not decays or min(decays) < 0:
        raise ValueError(f"`--decays` is {decays}; expected one or more numbers, none negative.")
