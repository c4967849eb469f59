"""`cvqa score`: scores for any video files."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import Progress

from cvqa_models.commands.configured import Configured
from cvqa_models.commands.scores import Scores
from cvqa_models.commands.timeline import Timeline, read_timeline
from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import write_maps
from cvqa_models.ending import MISTAKE
from cvqa_models.mistakes import OF_A_FILE, sentence_of
from cvqa_models.models.checkpoint import load_model
from cvqa_models.models.compression_level import CompressionLevelModel, shipped_model
from cvqa_models.models.module import QualityModule
from cvqa_models.types import Prediction, VideoRecord
from cvqa_models.video.reader import Decoder, Hdr, ReadOptions, Untagged, probe

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
    hdr: Hdr = "refuse",
    stream: int | None = None,
    precision: Precision = "32-true",
    maps: Path | None = None,
    csv_file: Path | None = None,
    json: Path | None = None,
    trust: list[str] | None = None,
) -> int:
    """Print a CSV with one row per file, in the order given.

    Without a checkpoint or configuration the column is `compression_level`: compression damage on VMAF's scale from 0
    to 100 (100 is clean), estimated from the pixels alone by the network that ships with the project. It is not human
    opinion. With one the column is `score`, which compares between encodes of one source.

    The column `notes` says what is odd about a file: interlaced, telecined, tone-mapped, times that do not rise.

    Videos are scored one at a time, so that a score depends on nothing but the file, the weights and the precision; a
    row is printed as soon as it is there. Files that cannot be scored are named at the end with the reason, the others
    keep their rows, and the exit code is 2. The files written are whole when the command is stopped, too, and hold the
    rows that were done.

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
        hdr: `refuse` refuses HDR videos (PQ, HLG); `tonemap` turns them into SDR by the curve of ITU-R BT.2390, which
            the column `notes` then says.
        stream: Which video stream of files that hold several, from 0; the largest by default, as ffmpeg picks.
        precision: Arithmetic, in Lightning's spelling. `bf16-mixed` runs matrix products in bfloat16, faster where the
            processor can (AVX512-BF16, AMX), with scores that differ in the third digit; never compare scores of
            different precision.
        maps: Also write the score maps of each video, where the system has them, to this folder, as
            `FILE.safetensors`: name -> float32, (T,) or (T, rows, columns).
        csv_file: Also write the CSV to this file.
        json: Also write `[{"video": …, "score": …, …}]` to this file.
        trust: Your own packages whose classes the checkpoint or configuration may build; their code is run.
    """
    names = [path.name for path in videos]
    twice = [name for name in names if names.count(name) > 1]
    if maps is not None and twice:
        raise ValueError(f"{len(twice)} videos are called '{twice[0]}', and `--maps` would write one file for all.")
    if maps is not None and timeline is not None:
        raise ValueError("`--maps` and `--timeline` exclude each other: a timeline has no score maps; leave one out.")
    model = _model(checkpoint, config, trust or [])
    _check_reference(model, reference)
    level = None if timeline is None else _level(model)
    options = ReadOptions(decoder=decoder, untagged=untagged, hdr=hdr, stream=stream)
    result = Scores("compression_level" if isinstance(model, CompressionLevelModel) else "score")
    with _progress() as progress:
        try:
            for path in progress.track(videos, description="scoring"):
                try:
                    if level is None:
                        found: Prediction | Timeline = score_video(model, path, options, precision, reference)
                    else:
                        found = _timeline(level, path, options, precision)
                    notes = probe(path, options).notes
                except OF_A_FILE as error:
                    result.unscored[path] = sentence_of(path, error)
                    continue
                if maps is not None and isinstance(found, Prediction):
                    write_maps(maps, replace(found, video_id=path.name))
                result.add(path, found, notes)
        finally:
            result.say(len(set(videos)))
            if result.rows or set(result.unscored) == set(videos):  # stopped before the first: leave what is there
                result.write(csv_file, json, timeline)
    return MISTAKE if result.unscored else 0


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


def _progress() -> Progress:
    """Return a bar on stderr, for a screen that does not show the rows themselves as they are done.

    Stdout is left alone: rich would send it where the bar is.
    """
    quiet = sys.stdout.isatty() or not sys.stderr.isatty()
    return Progress(console=Console(stderr=True), disable=quiet, transient=True, redirect_stdout=False)


def _level(model: QualityModule) -> CompressionLevelModel:
    if not isinstance(model, CompressionLevelModel):
        raise ValueError(
            f"`timeline` needs a compression level, but the checkpoint holds a {type(model).__name__}; leave one out."
        )
    return model


def _timeline(model: CompressionLevelModel, path: Path, options: ReadOptions, precision: Precision) -> Timeline:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        return read_timeline(model, path, options)


def _model(checkpoint: Path | None, config: list[Path] | None, trusted: list[str]) -> QualityModule:
    if checkpoint is not None and config is not None:
        raise ValueError("Give either `--checkpoint FILE` or `--config FILE...`: what scores the videos.")
    if checkpoint is not None:
        return load_model(checkpoint, trusted)
    if config is None:
        return shipped_model()
    configured = Configured(config, with_data=False, trusted=trusted)
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
    if reference is not None and not reference.is_file():
        raise FileNotFoundError(f"There is no video '{reference}'; give the source of all the videos.")
