"""The rows that a trained model is to beat."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cvqa_models.commands.score import score
from cvqa_models.corpus import ffmpeg
from cvqa_models.data.feature_store import FeatureStore
from cvqa_models.inference.baselines import BITRATE, LEVEL, baselines
from cvqa_models.types import VideoRecord
from cvqa_models.video.reader import ReadOptions

OPTIONS = ReadOptions()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "clip.mp4"
    ffmpeg.write(["-f", "lavfi", "-i", "testsrc2=s=160x90:r=10:d=1", "-c:v", "libx264", "-crf", "40"], path)
    return path


@pytest.fixture
def records(video: Path) -> list[VideoRecord]:
    """One video in two groups."""
    first = VideoRecord("clip", str(video), "a", "a", bitrate_kbps=300.0)
    return [first, replace(first, group="b")]


def test_the_level_is_that_of_score_and_comes_from_the_store_once_kept(
    records: list[VideoRecord], video: Path, tmp_path: Path
) -> None:
    score([video], json=tmp_path / "level.json")
    level = json.loads((tmp_path / "level.json").read_text())[0]["compression_level"]
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    found = baselines(records, store, OPTIONS)
    assert found.missing == []
    assert found.scores[BITRATE].tolist() == [300, 300]
    assert found.scores[LEVEL].tolist() == pytest.approx([level, level])
    assert not store.root.exists()
    baselines(records, store, OPTIONS, keep=True)
    gone = [replace(record, path=None) for record in records]
    assert baselines(gone, store, OPTIONS).scores[LEVEL].tolist() == pytest.approx([level, level])


def test_what_cannot_be_had_is_said(records: list[VideoRecord], tmp_path: Path) -> None:
    gone = [replace(records[0], path=None, bitrate_kbps=float("nan"))]
    found = baselines(gone, None, OPTIONS)
    assert not found.scores
    assert found.missing == [
        f"{BITRATE} is not shown: `bitrate_kbps` is empty for 1 of 1 videos.",
        f"{LEVEL} is not shown: 1 of 1 videos have no file here, and no store of features is given (first: 'clip').",
    ]
    store = FeatureStore(tmp_path / "store", OPTIONS.key)
    assert "and '" in baselines(gone, store, OPTIONS).missing[1]
    (tmp_path / "cut.mp4").write_bytes(b"no video")
    broken = baselines([replace(records[0], path=str(tmp_path / "cut.mp4"))], None, OPTIONS)
    assert list(broken.scores) == [BITRATE]
    assert broken.missing[0].startswith(f"{LEVEL} is not shown: ")
    assert "cut.mp4" in broken.missing[0]
    assert np.isfinite(broken.scores[BITRATE]).all()
