"""`cvqa calibrate`: put a trained model on the scale of its panel, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvqa_models.files import check_there
from cvqa_models.messages import say


def calibrate(
    checkpoint: Path,
    /,
    *,
    predictions: Path,
    scores: Path,
    scale: list[float],
    out: Path,
    curve: Literal["monotone", "logistic", "none"] = "monotone",
    coverage: float = 0.9,
) -> None:
    """Write a checkpoint whose scores are on the scale of its panel, each with an interval.

    Group losses learn the order of videos, so a model trained on scores from 1 to 5 may give a score such as 0.4. A
    curve to the panel's scale is fitted on videos of sources that training did not see. `cvqa score` and `cvqa predict`
    then write the score on the panel's scale, `low` and `high`, and the model's own score as `uncalibrated`. Labels
    that compare only inside groups have no common scale, and are refused.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        predictions: `video_id,score` of this checkpoint, as `cvqa predict` writes them.
        scores: Manifest of these videos with their labels, or CVQAD's table.
        scale: Lowest and highest score of the panel, such as 1 5.
        out: The checkpoint to write.
        curve: `monotone` follows the videos; `logistic` has four parameters, for few videos; `none` keeps scores that
            are on the scale already, as those of a model trained with `mse`, and adds the interval.
        coverage: Share of the videos of a new source that the interval holds; 0.9 needs 9 sources.

    Examples:
        cvqa calibrate best.ckpt --predictions held_out.csv --scores labels.csv --scale 1 5 --out calibrated.ckpt
    """
    if len(scale) != 2:
        raise ValueError(f"`scale` is {scale}; expected two numbers, such as `--scale 1 5`.")
    check_there("file", checkpoint, predictions, scores)
    from cvqa_models.evaluation.calibrate import calibrate as library

    found = library(checkpoint, predictions, scores, (scale[0], scale[1]), out, curve=curve, coverage=coverage)
    say(
        f"{out}: scores from {found.scale[0]:.3g} to {found.scale[-1]:.3g}; {coverage:.0%} of the videos of a new "
        f"source lie within {found.radius:.3g}, by {found.sources} sources"
    )
