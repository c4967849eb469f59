"""Write a checkpoint whose scores are on a panel's scale."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch

from cvqa_models.data.manifest import read_table
from cvqa_models.files import write_bytes
from cvqa_models.tables import numbers, read_csv
from cvqa_models.training.calibration import Calibration, Curve, fit_calibration
from cvqa_models.training.checkpoint import read_checkpoint


def calibrate(
    checkpoint: str | Path,
    predictions: str | Path,
    scores: str | Path,
    scale: tuple[float, float],
    out: str | Path,
    *,
    curve: Curve = "monotone",
    coverage: float = 0.9,
) -> Calibration:
    """Fit a curve from a model's scores to a panel's scale, and write a checkpoint that holds both.

    Scores of the new checkpoint are on that scale, each with an interval from `low` to `high`; see
    `training.calibration`.

    Args:
        checkpoint: Checkpoint written by `train.py fit`.
        predictions: `video_id,score` of this checkpoint, for videos of sources that it was not trained on.
        scores: Manifest of these videos with their labels, or CVQAD's table.
        scale: Lowest and highest score of the panel.
        out: The checkpoint to write.
        curve: `monotone`, `logistic` for few videos, or `none` for scores on the scale already.
        coverage: Share of the videos of a new source that the interval holds.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file cannot be read, no video has both a score and a label, or no curve fits.
    """
    content = read_checkpoint(checkpoint)
    table = read_csv(predictions, ["video_id", "score"])
    # If the checkpoint already has a calibration, its predictions hold the model's own scores in another column.
    column = "uncalibrated" if "uncalibrated" in table else "score"
    raw = dict(zip(table["video_id"], numbers(table, column, predictions), strict=True))
    labelled = [one for one in read_table(scores) if one.video_id in raw and not math.isnan(one.mos)]
    if not labelled:
        raise ValueError(
            f"'{predictions}' and '{scores}' have no labelled video in common; give tables of one data set."
        )
    calibration = fit_calibration(
        [raw[one.video_id] for one in labelled],
        [one.mos for one in labelled],
        [one.reference for one in labelled],
        [one.group for one in labelled],
        scale,
        curve,
        coverage,
    )
    buffer = io.BytesIO()
    torch.save({**content, "calibration": calibration.plain()}, buffer)
    write_bytes(out, buffer.getvalue())
    return calibration
