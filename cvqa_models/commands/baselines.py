"""What a trained model is to beat: the bitrate, and the compression level that ships with the project."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from cvqa_models.commands.extract import extract_features
from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.metrics.correlation import Floats
from cvqa_models.mistakes import OF_A_FILE, sentence
from cvqa_models.models.compression_level import shipped_model
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions

BITRATE = "baseline: bitrate_kbps"
LEVEL = "baseline: compression_level"


@dataclass
class Baselines:
    """Scores that no training made.

    Attributes:
        scores: Name -> score of each video, larger is better, shape (N,).
        missing: Why a baseline is not there, in a sentence each.
    """

    scores: dict[str, Floats] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def baselines(
    records: Sequence[VideoRecord], store: FeatureStore | None, options: ReadOptions, *, keep: bool = False
) -> Baselines:
    """Return the baselines that can be had for all videos, and why others cannot.

    Args:
        records: N videos.
        store: Features, of which those of the shipped level are taken, or None.
        options: How videos are read whose features are not there.
        keep: Whether features of the level that had to be computed are put into the store.
    """
    found = Baselines()
    bitrate = np.array([record.bitrate_kbps for record in records])
    unknown = int(np.isnan(bitrate).sum())
    if unknown:
        found.missing.append(f"{BITRATE} is not shown: `bitrate_kbps` is empty for {unknown} of {len(records)} videos.")
    else:
        found.scores[BITRATE] = bitrate
    try:
        found.scores[LEVEL] = _levels(records, store, options, keep)
    except OF_A_FILE as error:
        found.missing.append(f"{LEVEL} is not shown: {sentence(error)}")
    return found


def _levels(records: Sequence[VideoRecord], store: FeatureStore | None, options: ReadOptions, keep: bool) -> Floats:
    """Return the level of each video, shape (N,), from the store or from the file.

    Raises:
        FileNotFoundError: If a video is in neither.
        ValueError: If a video cannot be read.
    """
    model = shipped_model()
    key = model.demands["level"].cache_key
    assert key is not None  # its branch is frozen
    videos = list({record.video_id: record for record in records}.values())
    unseen = [record for record in videos if store is None or not store.has(key, record.video_id)]
    lost = [record.video_id for record in unseen if record.path is None or not Path(record.path).is_file()]
    if lost:
        where = "and no store of features is given" if store is None else f"and '{store.root}' has no features of them"
        raise FileNotFoundError(f"{len(lost)} of {len(videos)} videos have no file here, {where} (first: {lost[0]!r}).")
    if unseen and keep and store is not None:
        extract_features(model.each_branch(), videos, store, options)
    levels = {}
    told = track(videos, "compression level", console=Console(stderr=True), disable=not sys.stderr.isatty())
    with torch.inference_mode():
        for record in told:
            batch = load_batch([record], model.demands, store, options)
            levels[record.video_id] = model(batch).item()
    return np.array([levels[record.video_id] for record in records])
