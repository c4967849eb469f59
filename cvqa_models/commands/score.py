"""`cvqa score`: scores for any video files."""

from __future__ import annotations

import csv
import io
import json as json_format
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.progress import track

from cvqa_models.commands.configured import Configured
from cvqa_models.commands.timeline import Timeline, read_timeline, write_timelines
from cvqa_models.data.atomic import write_text
from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import write_maps
from cvqa_models.models.checkpoint import load_model
from cvqa_models.models.compression_level import MEASURES, CompressionLevelModel, shipped_model
from cvqa_models.models.module import QualityModule
from cvqa_models.types import Prediction, VideoRecord
from cvqa_models.video.reader import Decoder, ReadOptions, Untagged

Precision = Literal["32-true", "bf16-mixed"]


def score(
    videos: list[Path],
    /,
    *,
    checkpoint: Path | None = None,
    config: list[Path] | None = None,
    reference: Path | None = None,
    timeline: Path | None = None,
    decoder: Decoder = "auto",
    untagged: Untagged = "bt709",
    precision: Precision = "32-true",
    maps: Path | None = None,
    csv_file: Path | None = None,
    json: Path | None = None,
) -> None:
    """Print a CSV with one row per file, in the order given.

    Without a checkpoint or configuration the column is `compression_level`: compression damage on VMAF's scale from 0
    to 100 (100 is clean), estimated from the pixels alone by the network that ships with the project. It is not human
    opinion. With one the column is `score`, which compares between encodes of one source.

    Videos are scored one at a time, so that a score depends on nothing but the file, the weights and the precision.

    Args:
        videos: Video files.
        checkpoint: Checkpoint written by `train.py fit` or `cvqa fit-mmf`; the compression level that ships with the
            project by default.
        config: Instead of a checkpoint, the configuration of a system that is complete without training, such as
            `configs/model/ms_ssim.yaml`.
        reference: The source of all the videos, for full-reference systems.
        timeline: Also write the compression level of every second to this file, `.csv` or `.json`.
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
    model = _model(checkpoint, config)
    _check_reference(model, reference)
    options = ReadOptions(decoder=decoder, untagged=untagged)
    shown = track(videos, "scoring", disable=not sys.stderr.isatty())
    if timeline is not None:
        timelines = {str(path): _timeline(model, path, options, precision) for path in shown}
        rows: list[dict[str, object]] = [{"video": name, "compression_level": t.level} for name, t in timelines.items()]
        write_timelines(timeline, timelines)
    else:
        rows = [_row(model, path, options, precision, maps, reference) for path in shown]
    _write(rows, csv_file, json)
    if isinstance(model, CompressionLevelModel):
        sys.stderr.write(f"compression_level measures {MEASURES}.\n")


def score_video(
    model: QualityModule,
    path: Path,
    options: ReadOptions,
    precision: Precision = "32-true",
    reference: Path | None = None,
) -> Prediction:
    """Return the prediction for one file, as if it were a group of its own.

    Raises:
        ValueError: If the file cannot be decoded, naming it and the reason.
    """
    record = VideoRecord(video_id=str(path), path=str(path), group=str(path), reference=str(path))
    if reference is not None:
        record = replace(record, reference_path=str(reference))
    batch = load_batch([record], model.demands, None, options)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        return model.predict_step(batch, 0)[0]


def _timeline(model: QualityModule, path: Path, options: ReadOptions, precision: Precision) -> Timeline:
    if not isinstance(model, CompressionLevelModel):
        raise ValueError(
            f"`timeline` needs a compression level, but the checkpoint holds a {type(model).__name__}; leave one out."
        )
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        return read_timeline(model, path, options)


def _row(
    model: QualityModule,
    path: Path,
    options: ReadOptions,
    precision: Precision,
    maps: Path | None,
    reference: Path | None,
) -> dict[str, object]:
    prediction = score_video(model, path, options, precision, reference)
    if maps is not None:
        write_maps(maps, replace(prediction, video_id=path.name))
    column = "compression_level" if isinstance(model, CompressionLevelModel) else "score"
    return {"video": prediction.video_id, column: prediction.score, **prediction.details}


def _model(checkpoint: Path | None, config: list[Path] | None) -> QualityModule:
    if checkpoint is not None and config is not None:
        raise ValueError("Give either `--checkpoint FILE` or `--config FILE...`: what scores the videos.")
    if checkpoint is not None:
        return load_model(checkpoint)
    if config is None:
        return shipped_model()
    configured = Configured(config, with_data=False)
    model = configured.build_model()
    learns = any(parameter.requires_grad for parameter in model.parameters())
    # The system's own `weights` are those of its head; with them it is as its authors published it.
    if learns and configured.model_config["init_args"].get("weights") is None:
        raise ValueError(f"{type(model).__name__} is not trained; train it and give its `--checkpoint`.")
    return model.eval()


def _check_reference(model: QualityModule, reference: Path | None) -> None:
    name = type(model).__name__
    compares = any(demand.view.with_reference for demand in model.demands.values())
    if compares and reference is None:
        raise ValueError(f"{name} compares a video with its source; give `--reference FILE`.")
    if reference is not None and not compares:
        raise ValueError(f"{name} sees no source; leave `--reference` out.")


def _write(rows: list[dict[str, object]], csv_file: Path | None, json: Path | None) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    sys.stdout.write(text.getvalue())
    if csv_file is not None:
        write_text(csv_file, text.getvalue())
    if json is not None:
        noted = [{**row, "measures": MEASURES} if "compression_level" in row else row for row in rows]
        write_text(json, json_format.dumps(noted, indent=1) + "\n")
