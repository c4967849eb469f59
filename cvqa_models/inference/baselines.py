"""Baselines that a trained model should beat: the bitrate, and the compression level that ships with the project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cvqa_models.data.dataset import load_batch
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.inference.extract import extract_features
from cvqa_models.messages import OF_A_FILE, follow, sentence
from cvqa_models.metrics.correlation import Floats
from cvqa_models.models.shipped_level import shipped_level
from cvqa_models.types import Baselines, VideoRecord
from cvqa_models.video.reader import ReadOptions

BITRATE = "baseline: bitrate_kbps"
LEVEL = "baseline: compression_level"


def baselines(
    records: Sequence[VideoRecord], store: FeatureStore | None, options: ReadOptions, *, keep: bool = False
) -> Baselines:
    """Return the baselines that exist for all videos, and why others are missing.

    Args:
        records: N videos.
        store: Features; those of the shipped level are used. None for no store.
        options: How videos without features are read.
        keep: Whether computed features of the level are written to the store.
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
    model = shipped_level()
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
    with torch.inference_mode():
        for record in follow(videos, "compression level"):
            batch = load_batch([record], model.demands, store, options)
            levels[record.video_id] = model.predict_step(batch, 0)[0].score
    return np.array([levels[record.video_id] for record in records])
