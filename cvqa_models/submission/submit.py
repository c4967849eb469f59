"""Write a checked submission file from predictions, and a manifest for it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from cvqa_models import __version__
from cvqa_models.data.predictions import read_predictions
from cvqa_models.files import sha256, write_text
from cvqa_models.submission.layouts import check_scores, write_cvqad, write_generic, write_kvq, write_text_layout
from cvqa_models.submission.templates import fill_template
from cvqa_models.types import Layout


def submit(
    predictions: Path,
    out: Path,
    *,
    layout: Layout = "generic",
    template: Path | None = None,
    column: str | None = None,
    scores: Path | None = None,
    checkpoint: Path | None = None,
    config: Path | None = None,
    seconds_per_video: float | None = None,
    extra_data: bool = False,
    device: Literal["cpu", "gpu"] = "cpu",
) -> dict[str, Any]:
    """Write a submission file and OUT.manifest.json, and return what the manifest holds.

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
        seconds_per_video: Measured time; by default what `train.py predict` wrote next to the predictions.
        extra_data: Whether data beyond the challenge's was used, for the layout text.
        device: Where the time was measured, for the layout text.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If scores are missing, duplicate, not finite or constant, or do not fit the layout or template.
    """
    values = read_predictions(predictions)
    check_scores(values, list(values))
    timing = predictions.with_suffix(".json")
    if seconds_per_video is None and timing.is_file():
        seconds_per_video = _measured_seconds(timing)
    about: dict[str, Any] = {"layout": layout if template is None else "template", **_provenance(checkpoint, config)}
    if template is not None:
        count = fill_template(template, out, values, column)
    else:
        count = len(values)
        if layout == "cvqad":
            if scores is None:
                raise ValueError("The layout cvqad needs the label table: give `--scores TABLE`.")
            write_cvqad(out, values, scores)
        elif layout == "kvq":
            write_kvq(out, values)
        elif layout == "text":
            write_text_layout(out, values, seconds_per_video=seconds_per_video, extra_data=extra_data, device=device)
        else:
            write_generic(out, values)
    about.update(videos=count, seconds_per_video=seconds_per_video, file=out.name, file_sha256=sha256(out))
    manifest = out.with_name(f"{out.name}.manifest.json")
    write_text(manifest, json.dumps(about, indent=1) + "\n")
    return about


def _measured_seconds(timing: Path) -> float | None:
    """Return the time that `train.py predict` wrote next to its predictions; None if the file is of another kind."""
    try:
        seconds = json.loads(timing.read_text(encoding="utf-8"))["seconds_per_video"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return float(seconds) if type(seconds) in (int, float) and math.isfinite(seconds) else None


def _provenance(checkpoint: Path | None, config: Path | None) -> dict[str, object]:
    if config is None and checkpoint is not None:
        # A resumed run has one folder of logs per start; the last start made the checkpoint.
        kept = checkpoint.absolute().parent.parent.glob("logs*/config.yaml")
        config = max(kept, key=lambda path: path.stat().st_mtime, default=None)
    for kind, path in (("checkpoint", checkpoint), ("configuration", config)):
        if path is not None and not path.is_file():
            raise FileNotFoundError(f"There is no {kind} '{path}'; give the one that made the predictions.")
    return {
        "version": __version__,
        "checkpoint": checkpoint.name if checkpoint else None,
        "checkpoint_sha256": sha256(checkpoint) if checkpoint else None,
        "config": config.read_text(encoding="utf-8") if config else None,
    }
