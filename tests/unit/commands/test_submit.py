"""`cvqa submit`: the file, and the manifest that says how it was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cvqa_models import __version__
from cvqa_models.commands.submit import submit


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    path.write_text("video_id,score\nx264_fast_a_1,0.25\nx265_fast_a_1,0.5\n")
    return path


def test_the_manifest_names_file_checkpoint_and_configuration(tmp_path: Path, predictions: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/logs").mkdir()
    (tmp_path / "run/logs/config.yaml").write_text("model: x\n")
    checkpoint = tmp_path / "run/checkpoints/last.ckpt"
    checkpoint.write_bytes(b"weights")
    out = tmp_path / "s.csv"
    submit(predictions, out=out, checkpoint=checkpoint, seconds_per_video=2.5)
    manifest = json.loads((tmp_path / "s.csv.manifest.json").read_text())
    assert manifest == {
        "layout": "generic",
        "version": __version__,
        "checkpoint": "last.ckpt",
        "checkpoint_sha256": hashlib.sha256(b"weights").hexdigest(),
        "config": "model: x\n",
        "videos": 2,
        "seconds_per_video": 2.5,
        "file": "s.csv",
        "file_sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }


def test_the_measured_time_is_found_beside_the_predictions(tmp_path: Path, predictions: Path) -> None:
    predictions.with_suffix(".json").write_text('{"videos": 2, "seconds_per_video": 0.75}')
    submit(predictions, out=tmp_path / "a.csv", json=tmp_path / "result.json")
    submit(predictions, out=tmp_path / "b.csv", seconds_per_video=2.0)
    manifests = [json.loads((tmp_path / name).read_text()) for name in ("a.csv.manifest.json", "b.csv.manifest.json")]
    assert [manifest["seconds_per_video"] for manifest in manifests] == [0.75, 2.0]
    assert json.loads((tmp_path / "result.json").read_text()) == manifests[0]


@pytest.mark.parametrize("layout", ["generic", "kvq", "text"])
def test_every_layout_writes(tmp_path: Path, predictions: Path, layout: str) -> None:
    submit(predictions, out=tmp_path / "out", layout=layout)  # type: ignore[arg-type]
    assert (tmp_path / "out").stat().st_size > 0


def test_the_cvqad_layout_needs_its_table(tmp_path: Path, predictions: Path) -> None:
    with pytest.raises(ValueError, match="layout cvqad needs the label table"):
        submit(predictions, out=tmp_path / "s.csv", layout="cvqad")
    table = tmp_path / "labels.csv"
    table.write_text("codec,preset,sequence,crf,subjective_score\nx265,fast,a,1,0\nx264,fast,a,1,2\n")
    submit(predictions, out=tmp_path / "s.csv", layout="cvqad", scores=table)
    assert (
        tmp_path / "s.csv"
    ).read_text() == "codec,preset,sequence,crf,score\nx265,fast,a,1,0.5\nx264,fast,a,1,0.25\n"


def test_a_template_is_filled(tmp_path: Path, predictions: Path) -> None:
    (tmp_path / "sample.csv").write_text("filename,score\nx265_fast_a_1.mp4,\n")
    submit(predictions, out=tmp_path / "s.csv", template=tmp_path / "sample.csv")
    assert (tmp_path / "s.csv").read_text() == "filename,score\nx265_fast_a_1.mp4,0.5\n"
    assert json.loads((tmp_path / "s.csv.manifest.json").read_text())["videos"] == 1


def test_nothing_is_written_on_a_mistake(tmp_path: Path, predictions: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        submit(predictions, out=tmp_path / "s.csv", checkpoint=tmp_path / "absent.ckpt")
    predictions.write_text("video_id,score\na,1\nb,1\n")
    with pytest.raises(ValueError, match="a constant ranks nothing"):
        submit(predictions, out=tmp_path / "s.csv")
    assert not list(tmp_path.glob("s.csv*"))
