"""`cvqa score`: scores for any video files."""

from __future__ import annotations

import csv
import json as json_format
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.progress import track

from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import write_maps
from cvqa_models.models.checkpoint import load_model
from cvqa_models.models.module import QualityModule
from cvqa_models.types import Prediction, VideoRecord
from cvqa_models.video.reader import Decoder, ReadOptions, Untagged

Precision = Literal["32-true", "bf16-mixed"]


def score(
    videos: list[Path],
    /,
    *,
    checkpoint: Path,
    decoder: Decoder = "auto",
    untagged: Untagged = "bt709",
    precision: Precision = "32-true",
    maps: Path | None = None,
    csv_file: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print `video,score` as CSV, one row per file, in the order given; scores compare between encodes of one source.

    Videos are scored one at a time, so that a score depends on nothing but the file, the checkpoint and the precision.

    Args:
        videos: Video files.
        checkpoint: Checkpoint written by `train.py fit`.
        decoder: Decoding library.
        untagged: Colour matrix of streams of 720 lines and more that carry no tag.
        precision: Arithmetic, in Lightning's spelling. `bf16-mixed` runs matrix products in bfloat16, faster where the
            processor can (AVX512-BF16, AMX), with scores that differ in the third digit; never compare scores of
            different precision.
        maps: Also write the score maps of each video, where the system has them, to this folder, as
            `FILE.safetensors`: name -> float32, (T,) or (T, rows, columns).
        csv_file: Also write the CSV to this file.
        json: Also write `[{"video": …, "score": …, …}]` to this file.
    """
    missing = [path for path in videos if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"There is no file '{missing[0]}' ({len(missing)} of {len(videos)} are missing).")
    names = [path.name for path in videos]
    twice = [name for name in names if names.count(name) > 1]
    if maps is not None and twice:
        raise ValueError(f"{len(twice)} videos are called '{twice[0]}', and `--maps` would write one file for all.")
    model = load_model(checkpoint)
    options = ReadOptions(decoder=decoder, untagged=untagged)
    rows = []
    for path in track(videos, "scoring", disable=not sys.stderr.isatty()):
        prediction = score_video(model, path, options, precision)
        rows.append({"video": prediction.video_id, "score": prediction.score, **prediction.details})
        if maps is not None:
            write_maps(maps, replace(prediction, video_id=path.name))
    _write_csv(rows, sys.stdout)
    if csv_file is not None:
        with csv_file.open("w", newline="", encoding="utf-8") as file:
            _write_csv(rows, file)
    if json is not None:
        json.write_text(json_format.dumps(rows, indent=1) + "\n", encoding="utf-8")


def score_video(model: QualityModule, path: Path, options: ReadOptions, precision: Precision = "32-true") -> Prediction:
    """Return the prediction for one file, as if it were a group of its own.

    Raises:
        ValueError: If the file cannot be decoded, naming it and the reason.
    """
    record = VideoRecord(video_id=str(path), path=str(path), group=str(path), reference=str(path))
    batch = load_batch([record], model.demands, None, options)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        return model.predict_step(batch, 0)[0]


def _write_csv(rows: list[dict[str, object]], file: object) -> None:
    writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
