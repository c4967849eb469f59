"""`cvqa score`: scores for any video files."""

from __future__ import annotations

import csv
import json as json_format
import sys
from pathlib import Path

import torch
from rich.progress import track

from cvqa_models.data.dataset import load_batch
from cvqa_models.models.checkpoint import load_model
from cvqa_models.models.module import QualityModule
from cvqa_models.types import Prediction, VideoRecord
from cvqa_models.video.reader import Decoder, ReadOptions, Untagged


def score(
    videos: list[Path],
    /,
    *,
    checkpoint: Path,
    decoder: Decoder = "auto",
    untagged: Untagged = "bt709",
    csv_file: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print `video,score` as CSV, one row per file, in the order given; scores compare between encodes of one source.

    Videos are scored one at a time in float32, so that a score depends on nothing but the file and the checkpoint.

    Args:
        videos: Video files.
        checkpoint: Checkpoint written by `train.py fit`.
        decoder: Decoding library.
        untagged: Colour matrix of streams of 720 lines and more that carry no tag.
        csv_file: Also write the CSV to this file.
        json: Also write `[{"video": …, "score": …, …}]` to this file.
    """
    missing = [path for path in videos if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"There is no file '{missing[0]}' ({len(missing)} of {len(videos)} are missing).")
    model = load_model(checkpoint)
    options = ReadOptions(decoder=decoder, untagged=untagged)
    predictions = [
        score_video(model, path, options) for path in track(videos, "scoring", disable=not sys.stderr.isatty())
    ]
    rows = [{"video": p.video_id, "score": p.score, **p.details} for p in predictions]
    _write_csv(rows, sys.stdout)
    if csv_file is not None:
        with csv_file.open("w", newline="", encoding="utf-8") as file:
            _write_csv(rows, file)
    if json is not None:
        json.write_text(json_format.dumps(rows, indent=1) + "\n", encoding="utf-8")


def score_video(model: QualityModule, path: Path, options: ReadOptions) -> Prediction:
    """Return the prediction for one file, as if it were a group of its own.

    Raises:
        ValueError: If the file cannot be decoded, naming it and the reason.
    """
    record = VideoRecord(video_id=str(path), path=str(path), group=str(path), reference=str(path))
    batch = load_batch([record], model.demands, None, options)
    with torch.inference_mode():
        return model.predict_step(batch, 0)[0]


def _write_csv(rows: list[dict[str, object]], file: object) -> None:
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
