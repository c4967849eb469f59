"""`cvqa crossval`: score every video by models that never saw its content, for one or several configurations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from cvqa_models.files import check_there, write_json
from cvqa_models.messages import progress
from cvqa_models.shipped import find_config
from cvqa_models.types import Prediction


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
    by the signed group result. Then one model per seed is trained on these folds, and scores the videos that were left
    out. The scores of the seeds are averaged. All fits run together, so folds need no start-up time.

    Two rows need no training: the bitrate of the table, and the compression level that ships with the project, which is
    taken from the store or computed once from the videos. All values are signed.

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
        min_srocc: Fewest videos that a group needs to count for SROCC.
        min_plcc: Fewest videos that a group needs to count for PLCC.
        min_krocc: Fewest videos that a group needs to count for KROCC.
        bootstrap: Number of resamples of the references for 95 % intervals; 0 for none.
        out: Folder for the averaged out-of-fold scores, one `video_id,score` file per configuration.
        json: Write everything here.
        trust: Your own packages whose classes the configurations may build; their code is run.

    Returns:
        What `json` holds.

    Examples:
        cvqa crossval --config mine.yaml other.yaml --out scores
        cvqa crossval --config mine.yaml --variants variants.yaml --json crossval.json
    """
    for file in [*config, *([data] if data else [])]:
        find_config(file)
    check_there("file of variants", variants)
    # Slow imports come here, after the arguments are checked.
    from cvqa_models.commands.crossval_output import payload_of, show
    from cvqa_models.data.feature_store import file_name
    from cvqa_models.data.predictions import write_predictions
    from cvqa_models.evaluation import crossval as library
    from cvqa_models.inference.baselines import baselines
    from cvqa_models.metrics.group_score import Thresholds

    bars: dict[str, Callable[[int], None]] = {}

    def tell(name: str, done: int, total: int) -> None:
        if name not in bars:
            shown.close()  # one bar at a time
            bars[name] = shown.enter_context(progress(name, total))
        bars[name](done)

    with ExitStack() as shown:
        found = library.crossval(
            config,
            data=data,
            variants=variants,
            folds=folds,
            seeds=seeds,
            steps=steps,
            every=every,
            decays=decays,
            thresholds=Thresholds(min_srocc, min_plcc, min_krocc),
            bootstrap=bootstrap,
            rivals=partial(baselines, keep=True),
            trust=trust or [],
            progress=tell,
        )
    payload = payload_of(found.outcomes, found.evaluation, found.missing)
    if json is not None:
        write_json(json, payload)
    if out is not None:
        for name, score in found.scores.items():
            pairs = zip(found.records, score.tolist(), strict=True)
            write_predictions(out / f"{file_name(name)}.csv", [Prediction(r.video_id, r.group, v) for r, v in pairs])
    show(found.outcomes, found.evaluation, found.missing)
    return payload
