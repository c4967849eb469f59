"""`cvqa submit`: write a checked submission file from predictions, and a manifest for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cvqa_models.files import check_there, write_json
from cvqa_models.messages import say
from cvqa_models.types import Layout


def submit(
    predictions: Path,
    /,
    *,
    out: Path,
    layout: Layout = "generic",
    template: Path | None = None,
    column: str | None = None,
    scores: Path | None = None,
    checkpoint: Path | None = None,
    config: Path | None = None,
    seconds_per_video: float | None = None,
    extra_data: bool = False,
    device: Literal["cpu", "gpu"] = "cpu",
    json: Path | None = None,
) -> None:
    """Write a submission file and OUT.manifest.json; missing, duplicate, NaN or constant scores are refused.

    Args:
        predictions: CSV with `video_id,score`.
        out: The submission file.
        layout: generic (`filename,score`), cvqad (the label table's columns and `score`), kvq (prediction.csv in a
            zip) or text (output.txt and readme.txt in a zip).
        template: Fill the organisers' own CSV, TXT, JSON or XLSX file instead of a layout.
        column: Score column of the template, if its header is unusual.
        scores: Label table; needed by the layout cvqad.
        checkpoint: Checkpoint that made the predictions, for the manifest.
        config: Its configuration, for the manifest; the run's own if the checkpoint lies in a run folder.
        seconds_per_video: Measured time, for the manifest and the layout text; by default what `train.py predict` wrote
            next to the predictions.
        extra_data: Whether data beyond the challenge's was used, for the layout text.
        device: Where the time was measured, for the layout text.
        json: Also write the manifest here.

    Examples:
        cvqa submit runs/mine/predictions.csv --out submission.csv
        cvqa submit runs/mine/predictions.csv --out filled.csv --template sample.csv
    """
    check_there("table", predictions, scores)
    check_there("template", template)
    check_there("checkpoint", checkpoint)
    check_there("configuration", config)
    from cvqa_models.submission import submit as library  # slow to import

    about = library.submit(
        predictions,
        out,
        layout=layout,
        template=template,
        column=column,
        scores=scores,
        checkpoint=checkpoint,
        config=config,
        seconds_per_video=seconds_per_video,
        extra_data=extra_data,
        device=device,
    )
    if json is not None:
        write_json(json, about)
    say(f"submission: {out} ({about['videos']} videos), {out.name}.manifest.json beside it")
